import json
from pathlib import Path

import pytest

from tests.support.graphs import CODE, GATE, REFINE, graph_of
from vpo.planning.changes import code_files, read_status, refresh_code

GRAPH = graph_of(params=GATE, refine=REFINE)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/refine.py").write_text("a = 1\n")
    return tmp_path


def test_the_code_of_a_module_is_the_dep_with_its_name_that_the_gate_writes():
    assert code_files(GRAPH) == {"pipeline/refine.py": "data/code/refine.json"}
    assert code_files(graph_of(refine=REFINE)) == {}


def test_hashes_of_the_code_are_written_where_they_differ(project):
    path = project / "data/code/refine.json"
    assert refresh_code(project, GRAPH) == ["data/code/refine.json"]
    assert set(json.loads(path.read_text())) == {"pipeline/refine.py"}
    before = path.stat().st_mtime_ns
    assert refresh_code(project, GRAPH) == [] and path.stat().st_mtime_ns == before
    path.write_text(json.dumps(CODE))
    assert refresh_code(project, GRAPH) == ["data/code/refine.json"]


@pytest.mark.slow
def test_what_dvc_says_has_the_names_of_the_graph(tmp_path, monkeypatch):
    from dvc.repo import Repo

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recipes/tiny"
    folder.mkdir(parents=True)
    for file in (tmp_path / "dvc.yaml", folder / "dvc.yaml"):
        file.write_text("stages: {make: {cmd: touch out, outs: [out]}}\n")
    assert read_status(tmp_path, graph_of()) is None
    Repo.init(str(tmp_path), no_scm=True).close()
    for file in ("dvc.yaml", "recipes/tiny/dvc.yaml"):
        assert list(read_status(tmp_path, graph_of(file)) or {}) == ["make"]
    Path("dvc.yaml").write_text("stages: [")
    assert read_status(tmp_path, graph_of()) is None
