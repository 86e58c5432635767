import json

import pytest

from tests.support.graphs import CODE, GATE, REFINE, graph_of
from vpo.planning.reasons import changed_modules, find_reasons

GRAPH = graph_of(params=GATE, refine=REFINE)
PATH = "data/code/refine.json"
MD5 = "ab" + "0" * 30
LOCK = {
    "deps": [{"path": "data/a.jsonl", "md5": "x"}, {"path": PATH, "md5": MD5}],
    "params": {"params.yaml": {"refine.verify": 0}},
}


@pytest.fixture
def project(tmp_path):
    """The hashes of today, and in the DVC cache those of the last run."""
    cached = tmp_path / ".dvc/cache/files/md5/ab" / MD5[2:]
    for path, code in ((tmp_path / PATH, CODE | {"pipeline/text/clean.py": "3"}), (cached, CODE | {"gone.py": "4"})):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(code))
    (tmp_path / "params.yaml").write_text("refine: {verify: 2}\n")
    return tmp_path


def reasons(project, *changes, lock=LOCK):
    return find_reasons(project, GRAPH, GRAPH.stages["refine"], [*changes], lock)


def test_modules_are_those_whose_hash_differs_or_that_came_or_went(project):
    (project / PATH).write_text(json.dumps(CODE | {"schemas/base.py": "9", "pipeline/text/clean.py": "3"}))
    assert changed_modules(project, PATH, LOCK) == ["gone.py", "pipeline/text/clean.py", "schemas/base.py"]


def test_without_the_older_version_the_module_is_not_known(project):
    (line,) = changed_modules(project, PATH, {"deps": [{"path": PATH, "md5": "cd" * 16}]})
    assert line.startswith(f"{PATH}: which module is not known")


def test_each_change_is_what_it_is(project):
    changes = {PATH: "modified", "data/a.jsonl": "deleted", "params.yaml": {"refine.verify": "modified"}}
    found = reasons(project, {"changed deps": changes}, {"changed outs": {"data/b.jsonl": "deleted"}}, "more")
    assert list(found.lines()) == [
        "code   gone.py",
        "code   pipeline/text/clean.py",
        "param  refine.verify: 0 -> 2",
        "dep    data/a.jsonl: deleted",
        "out    data/b.jsonl: deleted",
        "more",
    ]


def test_before_the_first_run_there_is_nothing_to_compare(project):
    found = reasons(project, {"changed deps": {PATH: "new"}}, lock={})
    assert list(found.lines()) == ["it has not run yet"]


def test_a_param_that_was_not_listed_before_has_no_older_value(project):
    found = reasons(project, {"changed deps": {"params.yaml": {"refine.none.deep": "new"}}})
    assert found.params == {"refine.none.deep": (None, None)}


def test_a_long_value_is_cut(project):
    found = reasons(project)
    found.params["a"] = ("x" * 100, 1)
    assert list(found.lines()) == [f"param  a: {'x' * 57}... -> 1"]
