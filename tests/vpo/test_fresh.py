from pathlib import Path

import pytest

from pipeline.runtime.io import write_json
from schemas.d_sft import DSft
from tests.support.small_project import small_project
from vpo.fresh import LARGEST, is_other, locked_outs, notes, tables_of
from vpo.graph import read_graph
from vpo.views import View


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("select critique from fewshot_sft", {"fewshot_sft"}),
        ("select * from D_DPO join main.d_sft using (query_id)", {"d_dpo", "d_sft"}),
        ("with a as (select * from d_video) select * from a where x in (select y from r.d_text)",
         {"a", "d_video", "r.d_text"}),
        ("select 1 as d_dpo", set()),
        ("selec 1", set()),
    ],
)  # fmt: skip
def test_the_tables_of_a_query_are_read_from_its_syntax(query, tables):
    import duckdb

    assert tables_of(duckdb.connect(":memory:"), query) == tables


def test_a_file_is_another_by_size_or_by_hash(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    same = {"path": "a", "md5": "900150983cd24fb0d6963f7d28e17f72", "size": 3}
    assert not is_other(path, same) and not is_other(path, None)
    assert is_other(path, same | {"size": 4}) and is_other(path, same | {"md5": "0" * 32})


def test_of_each_view_it_is_said_what_is_not_there_and_what_is_another_than_the_lock_names(tmp_path):
    small_project(tmp_path)
    graph, lane = read_graph(tmp_path), tmp_path / "data/sft"
    there, gone = lane / "d_sft.jsonl", lane / "gone.jsonl"
    views = [View("whole", DSft, {there: {}}), View("part", DSft, {there: {}}, absent=(gone,)),
             View("none", DSft, absent=(gone, lane / "lost.jsonl"))]  # fmt: skip
    assert list(notes(tmp_path, graph, views)) == [
        "part is not whole: data/sft/gone.jsonl is not there; `dvc repro` makes it",
        "none is empty: data/sft/gone.jsonl and 1 more are not there; `dvc repro` makes it",
    ]
    outs = [{"path": "data/sft/d_sft.jsonl", "hash": "md5", "md5": "0" * 32}]
    write_json(tmp_path / "dvc.lock", {"schema": "2.0", "stages": {"d_sft": {"cmd": "x", "outs": outs}}})
    (line,) = notes(tmp_path, graph, views[:1])
    assert line.startswith("whole: data/sft/d_sft.jsonl is not what dvc.lock names; `dvc checkout` brings that")
    assert [line.count("`dvc checkout` or") for line in notes(tmp_path, graph, views[2:])] == [1]


def test_a_large_file_is_compared_by_its_size_alone_and_one_without_a_hash_too(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert not is_other(path, {"path": "a"}) and not is_other(path, {"path": "a", "size": 3})
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    assert not is_other(path, {"path": "a", "md5": "0" * 32, "size": LARGEST + 1})
    assert is_other(path, {"path": "a", "md5": "0" * 32, "size": LARGEST})
    with path.open("wb") as file:
        file.truncate(1000)
    assert is_other(path, {"path": "a", "md5": "0" * 32})


def test_the_outs_of_every_stage_of_the_lock_are_known_by_their_path(tmp_path):
    small_project(tmp_path)
    outs = [{"path": "a", "md5": "1"}, {"path": "b", "md5": "2"}]
    write_json(tmp_path / "dvc.lock", {"stages": {"x": {"outs": outs}, "y": {}, "z": {"outs": [{"path": "c"}]}}})
    assert locked_outs(tmp_path, read_graph(tmp_path)) == {"a": outs[0], "b": outs[1], "c": {"path": "c"}}
