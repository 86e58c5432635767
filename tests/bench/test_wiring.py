"""The page of planted faults: what it counts, and which results of a run before it keeps."""

import re

import pytest

from bench.faults import GRAPH_TESTS, ROOT, UNDRAWN, Planted, drawn, graph_tests
from bench.mutations import mutations
from bench.wiring import EQUIVALENT, Result, carry, hash_basis, make_page

RED = Result("named", "pipeline/a.py", 3, "", "tests/test_a.py::test_red[1]", "", "1f")
GREEN = Result("constant", "pipeline/llm/b.py", 4, "`0` -> `1`", None, "", "2f")
UNJUDGED = Result("constant", "vpo/c.py", 5, "`2` -> `3`", None, "the run did not end", "3f")


def test_a_fault_that_cannot_be_judged_is_in_no_share_and_is_shown_apart():
    page = make_page([RED, GREEN, UNJUDGED], seed=4, cpu_minutes=2.4, carried=1)
    assert "--seed 4`: 2 faults planted one at a time, 1 noticed (50.0%; 95% are asked for), 2 CPU minutes" in page
    assert "1 faults could not be judged" in page and "1 results are of a run before" in page
    assert re.findall(r"^\| (\w+) \| (\d) \| (\d) \| (\d) \| (\d) \|$", page, re.MULTILINE) == [
        ("llm", "0", "0", "1", "0"), ("stages", "1", "1", "0", "0"), ("all", "1", "1", "1", "0"),
    ]  # fmt: skip
    none, rest = page.partition("## Noticed by none")[2].split("## Not judged")
    unjudged, noticed = rest.split("## Noticed")
    assert "pipeline/llm/b.py:4" in none and "not looked at yet" in none
    assert "vpo/c.py:5" in unjudged and "the run did not end" in unjudged
    assert "| named | `pipeline/a.py:3` | `test_red` |" in noticed


def test_a_fault_that_nothing_can_show_is_in_no_share_and_stands_with_its_reason():
    (file, change), why = next(iter(EQUIVALENT.items()))
    same = Result("order turned", file, 9, change, None, "", "4f")
    page = make_page([RED, same], seed=4, cpu_minutes=2.4)
    assert "1 faults planted one at a time, 1 noticed (100.0%" in page and "1 change nothing that can be seen" in page
    assert why in page.partition("## Without a difference")[2].partition("## Noticed")[0]
    assert "2 noticed (100.0%" in make_page([RED, same._replace(red="tests/x.py::t")], seed=4, cpu_minutes=2.4)


@pytest.mark.parametrize(("file", "change"), EQUIVALENT)
def test_what_is_without_a_difference_can_still_be_drawn(file, change):
    sites = mutations((ROOT / file).read_bytes())
    assert any(change.endswith(f"-> `{' '.join(one.new.split())[:70]}`") for one in sites)


def test_a_result_is_kept_where_nothing_that_it_depends_on_has_changed():
    record = {"results": [list(RED), list(GREEN), list(UNJUDGED), ["of", "a", "page", "before", None]]}
    assert carry(record, {RED.key: "1f", GREEN.key: "2f", UNJUDGED.key: "3f"}) == {RED.key: RED, GREEN.key: GREEN}
    assert carry(record, {RED.key: "1e", GREEN.key: "2f"}) == {GREEN.key: GREEN}
    assert carry(record, {}) == {}


FILES = {
    "pipeline/a.py": "from pipeline import of_a\n",
    "pipeline/of_a.py": "x = 1\n",
    "pipeline/other.py": "x = 1\n",
    "tests/conftest.py": "",
    "tests/pipeline/test_a.py": "from tests.support import rows\n",
    "tests/support/rows.py": "x = 1\n",
    "tests/test_graph.py": "x = 1\n",
    "tests/test_wiring.py": "x = 1\n",
    "params.yaml": "x: 1\n",
    "README.md": "1\n",
}


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("changed", FILES)
def test_a_result_depends_on_the_file_its_tests_and_what_they_import(tmp_path, changed, graph):
    before, after = tmp_path / "before", tmp_path / "after"
    for root in (before, after):
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + ("y = 2\n" if root == after and name == changed else ""))
    fault = Planted("f", "pipeline/a.py", b"", ("tests/pipeline/test_a.py",), 1)
    ignored = (
        {"README.md"} if graph else {"README.md", "pipeline/other.py", "tests/test_graph.py", "tests/test_wiring.py"}
    )
    assert (hash_basis(fault, graph, before) == hash_basis(fault, graph, after)) == (changed in ignored)


def test_a_result_depends_on_the_fault_itself():
    fault = Planted("f", "pipeline/curation/split.py", b"", ("tests/pipeline/curation/test_split.py",), 1)
    others = [fault._replace(name="g"), fault._replace(change="`0` -> `1`"), fault._replace(tests=())]
    assert len({hash_basis(one, graph=False) for one in (fault, *others)}) == 4


def test_the_tests_of_the_graph_that_are_asked_stand_there(root):
    for names in {*GRAPH_TESTS.values()}:
        for name in names.split():
            file, _, test = name.partition("::")
            text = (root / file).read_text()
            assert "pytest.mark.graph" in text and (not test or f"def {test}(" in text), name
    assert graph_tests("pipeline/critique.py") and graph_tests("vpo/check/__init__.py")
    assert not graph_tests("pipeline/backends/renderer/http.py")


def test_the_guard_of_the_terminal_is_drawn_and_what_a_person_looks_at_is_not():
    assert "pipeline/runtime/terminal.py" not in UNDRAWN
    assert {one.file for one in drawn(2, 1, "pipeline/runtime/terminal.py")} == {"pipeline/runtime/terminal.py"}
    assert drawn(2, 1, "pipeline/runtime/progress.py") == []


def test_drawn_faults_are_spread_over_modules_before_one_has_a_second():
    text = drawn(30, 1, "pipeline/scoring/*")
    modules = {one.file for one in drawn(100, 1, "pipeline/scoring/*")}
    assert len({one.file for one in text[: len(modules)]}) == len(modules) > 3
    assert text == drawn(30, 1, "pipeline/scoring/*") != drawn(30, 2, "pipeline/scoring/*")
