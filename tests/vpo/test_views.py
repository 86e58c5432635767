from pathlib import Path

import pytest

from pipeline.runtime.arrow import arrow_schema
from schemas.critique import Critique
from schemas.queries import Query, QueryDropped
from schemas.reward import Reward
from schemas.stage import row_classes
from tests.support.small_project import ROOT, small_project
from vpo.graph import Graph, read_graph
from vpo.unroll import Unroller
from vpo.views import View, columns, schema_of, unions, views


def graph_of(**stages):
    unroller = Unroller("", "", {})
    return Graph("", "dvc.yaml", "params.yaml", {name: unroller.entry(name, entry) for name, entry in stages.items()})


def stage(module, *outs, **more):
    return {"cmd": f"python -m pipeline {module} in/a {outs[0]}", "outs": [*outs], **more}


def of(graph, root=Path()):
    return {view.name: view for view in views(root, graph)}


def test_views_are_the_tables_among_the_outs_of_the_graph(tmp_path):
    """Every table that a stage leaves is a file of one view, and no view has another."""
    graph = read_graph(ROOT)
    outs = {out for stage in graph.stages.values() for out in stage.outs if out.endswith((".jsonl", ".parquet"))}
    for out in outs:
        (tmp_path / out).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / out).write_text("x")
    files = [path.relative_to(tmp_path).as_posix() for view in views(tmp_path, graph) for path in view.files]
    assert sorted(files) == sorted(outs) and len(outs) > 40


def test_a_view_has_the_row_class_of_its_stage_and_what_was_dropped_its_own():
    found = of(read_graph(ROOT))
    assert found["critique_sft"].row is Critique and found["critique_eval"].row is Critique
    assert (found["queries"].row, found["queries_dropped"].row) == (Query, QueryDropped)


def test_a_stage_whose_name_has_an_underscore_has_lanes_and_their_union():
    do = stage("d_text", "data/${key}/d_text.jsonl", "data/${key}/d_text_dropped.jsonl")
    graph = graph_of(d_text={"foreach": {"dpo": {}, "second": {}}, "do": do})
    found = of(graph)
    assert list(found) == ["d_text_dpo", "d_text_dpo_dropped", "d_text_second", "d_text_second_dropped"]
    bare = unions(found.values(), "main")
    assert list(bare) == ["d_text", "d_text_dropped"]
    assert "'second' as lane" in bare["d_text"] and '"main"."d_text_second"' in bare["d_text"]


def test_a_bare_name_that_is_a_view_itself_is_no_union():
    arms = {"foreach": {"x": {}}, "do": stage("d_dpo", "data/${key}/d_dpo.jsonl")}
    found = of(graph_of(d_dpo=stage("d_dpo", "data/d_dpo.jsonl"), d_dpo_arm=arms))
    assert list(found) == ["d_dpo", "d_dpo_dropped", "d_dpo_arm", "d_dpo_arm_dropped"]
    assert unions(found.values(), "main") == {}


@pytest.mark.parametrize(("module", "added"), [("d_sft", ()), ("d_dpo", ("arm",))])
def test_an_arm_is_a_column_where_the_rows_do_not_name_it(module, added, tmp_path):
    arms = {"foreach": {"x": {}}, "do": stage(module, "data/${key}/a.jsonl", "data/${key}/a_dropped.jsonl")}
    graph = graph_of(**{f"{module}_eval": arms})
    for out in graph.stages[f"{module}_eval@x"].outs:
        (tmp_path / out).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / out).write_text("{}\n")
    kept, dropped = of(graph, tmp_path).values()
    assert kept.added == added and list(kept.files.values()) == [dict.fromkeys(added, "x")]
    assert dropped.added == () and list(dropped.files.values()) == [{}]


def test_the_axes_of_a_matrix_are_columns_that_the_graph_says_and_no_path(tmp_path):
    axes = {"suite": ["test", "hard"], "arm": ["x"]}
    graph = graph_of(d_text_eval=stage("d_text", "data/${item.suite}${item.arm}.jsonl", matrix=axes))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/hardx.jsonl").write_text("{}\n")
    view = of(graph, tmp_path)["d_text_eval"]
    assert (view.lane, view.added) == ("eval", ("suite", "arm"))
    assert view.files == {tmp_path / "data/hardx.jsonl": {"suite": "hard", "arm": "x"}}


def test_arms_that_nobody_names_leave_an_empty_view():
    graph = graph_of(d_dpo_arm={"foreach": {}, "do": stage("d_dpo", "data/${key}/d_dpo.jsonl")})
    view = of(graph)["d_dpo_arm"]
    assert view.added == ("arm",) and "arm" in view.sql()


def test_views_of_a_recipe_lie_in_a_schema_with_its_name():
    graph = Graph("prompt-a-video", "", "", {})
    assert (schema_of(graph), schema_of(read_graph(ROOT))) == ("prompt_a_video", "main")


@pytest.mark.parametrize("name", row_classes())
def test_types_are_those_that_a_parquet_file_of_the_rows_has(name):
    import duckdb
    import pyarrow as pa

    row = row_classes()[name]
    empty = pa.Table.from_pylist([], schema=arrow_schema(row))
    connection = duckdb.connect()
    connection.register("empty", empty)
    described = connection.execute("describe empty").fetchall()
    assert {column: kind.replace('"', "") for column, kind, *_ in described} == {
        column: kind.replace('"', "") for column, kind in columns(row).items()
    }


def test_a_column_that_is_younger_than_a_parquet_file_is_null_in_its_rows(tmp_path):
    import duckdb
    import pyarrow.parquet as pq

    small_project(tmp_path)
    path = tmp_path / "data/eval/test/dpo/reward.parquet"
    whole = pq.read_table(path)
    pq.write_table(whole.drop_columns(["suite"]), path)
    view = View("reward", Reward, {path: {}})
    rows = duckdb.connect().execute(f"select suite, video_id, answers from ({view.sql()})").fetchall()
    assert [row[0] for row in rows] == [None] * len(whole) and len(whole) > 1
    assert [row[1:] for row in rows] == [(row["video_id"], row["answers"]) for row in whole.to_pylist()]
