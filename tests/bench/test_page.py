"""A page says which commit made it, and is refused where its code has changed since and it does not say so."""

import functools
import json
import re
import shutil

import pytest

from bench.page import (
    FOLDER,
    PAGES,
    describe_basis,
    hash_code,
    list_changes,
    mark,
    mark_pages,
    read_record,
    record_path,
    state_line,
    write_page,
)


def pages_with(kind, key, root):
    """Return the pages that stand on a file or a key of params.yaml."""
    return {name for name in PAGES if key in basis_of(name, root)[kind]}


@functools.cache
def basis_of(name, root):
    return describe_basis(name, root)


def test_every_page_says_how_it_is_made_and_every_way_has_its_page(root):
    pages = {path.stem for path in (root / FOLDER).glob("*.md")}
    assert pages <= {*PAGES}
    assert pages == {path.stem for path in (root / FOLDER / "made").glob("*.json")}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_written_by_its_bench_and_by_nobody_else(root, name):
    writers = {
        path.relative_to(root).as_posix()
        for path in (root / "bench").glob("*.py")
        if f'write_page("{name}"' in path.read_text(encoding="utf-8")
    }
    assert writers == {PAGES[name].bench}


def test_no_bench_writes_a_page_by_its_own_hand(root):
    for path in (root / "bench").glob("*.py"):
        if path.name != "page.py":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"""\.md["']\)?\)?\.write_text""", text), path.name


def test_a_page_whose_code_has_changed_says_so(root):
    """Run `make map` when this fails: it writes the line, and takes the page's figures out of the README."""
    wrong = [path for path, text in mark_pages(root).items() if (root / path).read_text(encoding="utf-8") != text]
    assert wrong == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_the_commit_of_its_record(root, name):
    if record_path(name, root).is_file():
        commit = read_record(name, root)["commit"]
        assert re.fullmatch(r"[0-9a-f]{7}(, with changes)?", commit)
        assert f"Made at commit `{commit}`" in (root / FOLDER / f"{name}.md").read_text(encoding="utf-8").split("\n")[2]


GRAPH = {"demo", "harmless", "world", "real_queries", "choices"} & {*PAGES}


@pytest.mark.parametrize(
    ("file", "pages"),
    [
        ("pipeline/d_video.py", GRAPH | {"everyday"}),
        ("pipeline/evaluation/report.py", GRAPH | {"everyday"}),
        ("pipeline/critique.py", GRAPH | {"votes"}),
        ("pipeline/curation/rules.py", GRAPH | {"curation"}),
        ("train/dpo.py", GRAPH | {"training"}),
        ("bench/votes.py", {"votes"}),
        # a carrier counts where it is what is measured
        ("pipeline/llm/calls/limits.py", {"bill", "teacher", "everyday"}),
        ("pipeline/runtime/fanout_ray.py", {"fanout", "rendering"}),
        # backends that a page does not run, and stages behind those that it runs
        ("pipeline/backends/renderer/http.py", set()),
        ("pipeline/backends/renderer/diffusers.py", {"rendering"}),
        ("pipeline/backends/reward/hpsv2.py", set()),
        ("pipeline/package.py", {"everyday"}),
        # what checks params shapes no figure: the values do
        ("schemas/params.py", set()),
    ],
)
def test_a_page_stands_on_the_code_that_makes_its_figures_and_no_other(root, file, pages):
    # bench.wiring plants faults everywhere, so its page stands on all there is
    assert pages_with("code", file, root) - {"wiring"} == pages


def test_a_page_stands_on_the_values_and_words_that_it_reads(root):
    assert pages_with("params", "dpo.reward_gap", root) == GRAPH
    assert pages_with("params", "render", root) == {"fanout", "rendering"}
    assert pages_with("files", "pipeline/templates/fewshot.jinja", root) == GRAPH | {"teacher"}
    assert pages_with("files", "train/chat_template.jinja", root) == GRAPH
    assert pages_with("files", "pipeline/backends/reward/questions.jsonl", root) == GRAPH
    assert "params.yaml" not in basis_of("demo", root)["files"]


def copied(root, folder):
    """Return a copy of the tree as far as a page may stand on it, without pages."""
    for name in ("schemas", "pipeline", "train", "vpo", "bench", "tests"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results", "fixtures"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(root / name, folder / name)
    return folder


def changed(folder, *edits):
    """Edit files of a copy; return what the page of bench.votes and the demo's then find changed."""
    for file, old, new in edits:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return {name: list_changes(name, folder) for name in ("votes", "demo")}


@pytest.fixture
def copy(root, tmp_path):
    """A copy of the tree in which the pages of bench.votes and of the demo are fresh."""
    copied(root, tmp_path)
    for name in ("votes", "demo"):
        record = record_path(name, tmp_path)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"commit": "0" * 7, **basis_of(name, root)}), encoding="utf-8")
    return tmp_path


def test_comments_and_docstrings_make_no_page_old(copy):
    edits = [
        ("pipeline/critique.py", '"""', '"""Prose. '),
        ("bench/votes.py", '"""', '"""Prose. '),
        ("params.yaml", "# ours", "# our own"),
    ]
    assert changed(copy, *edits) == {"votes": [], "demo": []}


def test_a_change_of_code_or_of_a_value_makes_the_pages_old_that_stand_on_it(copy):
    edits = [
        ("pipeline/critique.py", "return no > yes", "return no >= yes"),
        ("params.yaml", "reward_gap: 0.5", "reward_gap: 0.6"),
    ]
    changes = changed(copy, *edits)
    assert changes["demo"] == ["pipeline/critique.py", "dpo.reward_gap"]
    assert changes["votes"] == ["pipeline/critique.py", "dpo"]


def test_a_page_without_a_record_of_its_code_is_old(copy):
    record_path("votes", copy).write_text('{"commit": "0000000", "code": {}, "files": {}, "params": {}}')
    assert "bench/votes.py" in list_changes("votes", copy)


def test_a_written_page_has_its_line_and_its_record(copy):
    path = write_page("votes", "# Votes\n\nA table.\n", {"commit": "1" * 7, **describe_basis("votes", copy)}, copy)
    assert path.read_text() == f"# Votes\n\n{state_line('1' * 7, fresh=True)}\n\nA table.\n"
    assert list_changes("votes", copy) == [] and read_record("votes", copy)["commit"] == "1" * 7


def test_a_page_of_which_a_part_alone_is_measured_stays_as_old_as_it_was(copy):
    old = {"commit": "2" * 7, "code": {}, "files": {}, "params": {}}
    assert "has changed since" in write_page("votes", "# Votes\n\nA table.\n", old, copy).read_text()


def test_the_line_takes_the_place_of_an_older_one():
    fresh, old = (state_line("abcdef0", fresh=fresh) for fresh in (True, False))
    page = mark("# A page\n\nText.\n", fresh)
    assert page == f"# A page\n\n{fresh}\n\nText.\n"
    assert mark(page, old) == f"# A page\n\n{old}\n\nText.\n"
    assert mark(mark(page, old), fresh) == page


def test_the_commit_of_a_basis_says_nothing_of_its_code():
    basis = {"commit": "abc", "code": {"a.py": "1"}, "files": {}, "params": {}}
    assert hash_code(basis) == hash_code(basis | {"commit": "another"})
    for part, other in (("code", {"a.py": "0"}), ("files", {"a.txt": "0"}), ("params", {"seed": 1})):
        assert hash_code(basis | {part: other}) != hash_code(basis)
