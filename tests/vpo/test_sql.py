import hashlib
import json
import shutil

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from schemas.stage import row_classes
from tests.support.small_project import ROOT, small_project
from vpo.graph import read_graph
from vpo.sql import connect, main
from vpo.views import View, columns, views


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def ask(made, monkeypatch):
    monkeypatch.chdir(made / "data")

    def run(query, *options):
        return CliRunner().invoke(main, [query, *options])

    return run


@pytest.fixture
def rows(ask):
    def run(query):
        done = ask(query, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def few(made, tmp_path_factory):
    """The same project with the views of one stage alone: most of a query's time goes into making all of them."""
    project = shutil.copytree(made, tmp_path_factory.mktemp("few") / "project")
    tree = YAML(typ="safe").load((project / "dvc.yaml").read_text())
    (project / "dvc.yaml").write_text(json.dumps({"stages": {"queries": tree["stages"]["queries"]}}))
    return project


@pytest.fixture
def ask_few(few, monkeypatch):
    monkeypatch.chdir(few)
    return lambda query, *options: CliRunner().invoke(main, [query, *options])


ROWS_OF = {
    "queries": 13, "queries_dropped": 1, "fewshot_sft": 4, "fewshot_eval": 5, "critique_sft": 4, "critique_dpo": 8,
    "critique_eval": 10, "refine_sft": 1, "refine_sft_dropped": 1, "refine_dpo": 2, "d_sft": 4, "rollout_dpo": 8,
    "rollout_eval": 10, "d_text": 4, "d_video": 4, "d_dpo": 8, "render_dpo": 6, "render_eval": 10, "reward_dpo": 12,
    "reward_eval": 20, "evaluate": 1, "fewshot": 9, "critique": 22, "refine": 3, "rollout": 18, "render": 16,
    "reward": 32, "refine_dropped": 2, "d_dpo_arm": 0, "evaluate_dropped": 0, "reward_eval_dropped": 0,
}  # fmt: skip


def test_every_artifact_is_a_view(rows):
    counts = ", ".join(f"(select count(*) from {view}) as {view}" for view in ROWS_OF)
    assert rows(f"select {counts}") == [ROWS_OF]


def test_rewards_of_an_evaluated_arm_carry_its_name(rows):
    found = rows("select arm, avg(dims[1].value) as dd from reward_eval where len(dims) > 0 group by arm order by arm")
    assert [row["arm"] for row in found] == ["dpo", "original"]
    assert found[0]["dd"] < found[1]["dd"]


def test_a_bare_stage_name_tells_its_lanes_apart(rows):
    found = rows("select lane, count(*) as n from critique group by lane order by lane")
    assert found == [{"lane": "dpo", "n": 8}, {"lane": "eval", "n": 10}, {"lane": "sft", "n": 4}]


def test_nested_values_come_out_as_json(rows):
    found = rows("select written_by, violated from critique_sft where safety")
    assert found[0]["written_by"]["backend"] == "offline"
    assert found[0]["violated"] == ["harmless"]


def test_an_extra_trained_arm_is_a_view_with_its_name(made, tmp_path, monkeypatch):
    project = shutil.copytree(made, tmp_path / "project")
    (project / "data/dpo/arms/dpo_no_text").mkdir(parents=True)
    shutil.copy(project / "data/dpo/d_dpo.jsonl", project / "data/dpo/arms/dpo_no_text/d_dpo.jsonl")
    monkeypatch.chdir(project)
    done = CliRunner().invoke(main, ["select distinct arm from d_dpo_arm", "--json"])
    assert json.loads(done.stdout) == [{"arm": "dpo_no_text"}]


def test_a_project_without_data_has_every_view_with_its_columns(tmp_path, monkeypatch):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(
        main, ["select table_name, column_name from duckdb_columns() where not internal", "--json"]
    )
    assert done.exit_code == 0, done.output
    names = {}
    for row in json.loads(done.stdout):
        names.setdefault(row["table_name"], set()).add(row["column_name"])
    assert {*ROWS_OF} <= {*names}
    for view in views(tmp_path, read_graph(tmp_path)):
        assert names[view.name] == {*view.row.model_fields, *view.added}


@pytest.fixture(scope="module")
def empty():
    import duckdb

    return duckdb.connect()


@pytest.mark.parametrize("name", row_classes())
def test_types_of_an_empty_view_are_those_of_its_row_class(name, empty):
    row = row_classes()[name]
    described = empty.execute(f"describe {View(name, row).sql()}").fetchall()
    types = {column: kind.replace('"', "") for column, kind, *_ in described}
    assert types == {column: kind.replace('"', "") for column, kind in columns(row).items()}


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('/etc/passwd')",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "select * from read_text('params.yaml')",
        "select * from read_blob('data/dpo/render/00000.tar')",
        "copy (select 1) to 'stolen.csv'",
        "explain analyze copy (select 1) to 'stolen.csv'",
        "copy queries to 'stolen.parquet' (format parquet)",
        "export database 'stolen'",
        "attach 'stolen.db'",
        "install httpfs",
        "load httpfs",
        "select * from 'http://127.0.0.1:9/x.csv'",
        "set enable_external_access = true",
        "reset allowed_paths",
        "select 1; copy (select 1) to 'stolen.csv'",
        "create table t as select 1",
        "drop view queries",
        "",
    ],
)
def test_nothing_but_the_artifacts_can_be_read_and_nothing_written(ask_few, few, query):
    before = sorted(few.rglob("*"))
    done = ask_few(query)
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("Error: ") and len(done.stderr.splitlines()) == 1
    assert sorted(few.rglob("*")) == before


def test_an_artifact_cannot_be_overwritten_even_by_its_own_path(ask, made):
    path = made / "data/evaluate.jsonl"
    before = path.read_bytes()
    for query in (f"copy (select 1) to '{path}'", f"explain analyze copy (select 1) to '{path}'"):
        assert ask(query).exit_code == 1
    assert path.read_bytes() == before


def test_what_is_locked_stays_locked(made):
    import duckdb

    connection = connect(made)
    for statement in ("set enable_external_access = true", "set allowed_paths = ['/etc/passwd']"):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)


def test_a_python_variable_is_no_table(ask_few):
    assert "does not exist" in ask_few("select * from files").stderr


def test_a_wrong_query_is_one_clear_line(ask):
    done = ask("select nothing from d_sft")
    assert done.exit_code == 1
    assert 'column "nothing" not found' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_broken_artifact_is_named(made, tmp_path, monkeypatch):
    project = shutil.copytree(made, tmp_path / "project")
    (project / "data/sft/d_sft.jsonl").write_text("no json\n")
    monkeypatch.chdir(project)
    done = CliRunner().invoke(main, ["select * from d_sft"])
    assert done.exit_code == 1 and "d_sft.jsonl" in done.stderr


def test_a_broken_table_leaves_the_other_views_open(made, tmp_path, monkeypatch):
    project = shutil.copytree(made, tmp_path / "project")
    (project / "data/dpo/render.parquet").write_text("no parquet")
    monkeypatch.chdir(project)
    done = CliRunner().invoke(main, ["select count(*) as n from d_sft", "--json"])
    assert json.loads(done.stdout) == [{"n": 4}]
    assert "view render_dpo is left out" in done.stderr and "render.parquet" in done.stderr


def test_columns_of_the_same_name_stay_apart(rows):
    assert rows("select 1 as a, 2 as a") == [{"a": 1, "a_2": 2}]


def test_what_json_cannot_say_is_null(rows):
    assert rows("select 'nan'::double as a, [1.5, 'inf'::double] as b, date '2026-01-02' as c") == [
        {"a": None, "b": [1.5, None], "c": "2026-01-02"}
    ]


def test_a_table_shows_texts_as_they_are_without_markup_or_control_codes(ask_few):
    done = ask_few("select '[red]x[/red]' as \"[b]name\", chr(27) || '[31mevil' as t")
    assert "[red]x[/red]" in done.stdout and "[b]name" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_time_with_a_zone_is_shown(ask_few, options):
    done = ask_few(
        "select timestamptz '2026-01-31 12:30:00+00' as t, [timestamptz '2026-01-31 12:30:00+00'] as nested", *options
    )
    assert done.exit_code == 0 and done.stdout.count("2026") == 2, done.output


@pytest.mark.parametrize(
    "value",
    ["now()", "'infinity'::timestamptz", "'290000-01-01'::date", "'infinity'::timestamp", "interval 3 months",
     "time with time zone '12:00:00+02'", "'290000-01-01'::timestamptz",
     "170141183460469231731687303715884105727::hugeint"],
)  # fmt: skip
def test_no_type_of_a_value_ends_in_a_traceback(ask_few, value):
    for options in ((), ("--json",)):
        done = ask_few(f"select {value} as t", *options)
        assert done.exception is None or isinstance(done.exception, SystemExit), (value, done.exception)


def test_a_long_answer_is_cut_in_the_table_and_says_so(ask_few):
    done = ask_few("select range from range(1000)")
    assert "200 of 1000 rows; --json prints all" in done.stderr


def test_without_a_query_the_views_are_listed(made, monkeypatch):
    monkeypatch.chdir(made)
    done = CliRunner().invoke(main, ["--json"])
    listed = {row["view"]: row["columns"] for row in json.loads(done.stdout)}
    assert {"queries", "critique", "critique_sft_dropped", "evaluate"} <= set(listed)
    assert listed["queries_dropped"].startswith("input_id VARCHAR, reason VARCHAR")


def test_outside_a_project_the_person_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["select 1"])
    assert done.exit_code == 1 and "cd into one" in done.stderr


@pytest.mark.parametrize("query", ["select now() as x", "select timestamptz '2020-01-01 00:00:00+02' as x"])
def test_times_with_a_zone_are_answered(rows, query):
    assert "20" in rows(query)[0]["x"]


def test_pytz_is_a_dependency_because_duckdb_imports_it_by_itself():
    from importlib.metadata import requires

    assert "pytz" in (ROOT / "pyproject.toml").read_text() and requires("vpo")


@pytest.mark.parametrize(
    "query",
    [
        "selec 1",
        "select nope from d_dpo",
        "select * from nope",
        "select strptime('a', '%Y')",
        "select cast('x' as int)",
    ],
)
def test_what_duckdb_refuses_is_one_line(ask_few, query):
    done = ask_few(query)
    (only,) = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert done.exit_code == 1 and only.startswith("Error: ")


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_rows_are_written_to_a_file_by_its_ending(ask, tmp_path, ending):
    import duckdb

    path = tmp_path / f"out.{ending}"
    done = ask("select query_id, prompt, violated, prompt from critique_sft", "--out", str(path))
    assert done.exit_code == 0, done.output
    assert "4 rows written to" in done.stderr and done.stdout == ""
    back = duckdb.sql(f"select * from '{path}'")
    assert back.columns == ["query_id", "prompt", "violated", "prompt_2"] and len(back.fetchall()) == 4


def test_a_file_of_another_ending_is_refused(ask_few, tmp_path):
    assert ask_few("select 1", "--out", str(tmp_path / "out.xlsx")).exit_code == 2


def test_a_file_that_is_not_there_is_told_before_the_answer(made, tmp_path, monkeypatch):
    project = shutil.copytree(made, tmp_path / "project")
    (project / "data/dpo/d_video.jsonl").unlink()
    monkeypatch.chdir(project)
    done = CliRunner().invoke(main, ["select count(*) as n from d_video", "--json"])
    assert done.stderr == "note: d_video is empty: data/dpo/d_video.jsonl is not there; `dvc repro` makes it\n"
    assert json.loads(done.stdout) == [{"n": 0}]
    assert CliRunner().invoke(main, ["select 1 as d_video", "--json"]).stderr == ""


def test_a_lane_that_is_missing_makes_the_union_less_than_whole(made, tmp_path, monkeypatch):
    project = shutil.copytree(made, tmp_path / "project")
    (project / "data/dpo/critique.jsonl").unlink()
    monkeypatch.chdir(project)
    done = CliRunner().invoke(main, ["with a as (select * from critique) select count(*) from a", "--json"])
    assert "note: critique_dpo is empty: data/dpo/critique.jsonl is not there" in done.stderr


def test_a_file_that_the_lock_does_not_name_is_told(made, tmp_path, monkeypatch):
    project = shutil.copytree(made, tmp_path / "project")
    path = project / "data/dpo/d_video.jsonl"
    out = {"path": "data/dpo/d_video.jsonl", "md5": hashlib.md5(path.read_bytes()).hexdigest()}
    lock = {"schema": "2.0", "stages": {"d_video": {"cmd": "", "outs": [out | {"size": path.stat().st_size}]}}}
    (project / "dvc.lock").write_text(json.dumps(lock))
    monkeypatch.chdir(project)
    query = ["select pair_id from main.d_video limit 1"]
    assert CliRunner().invoke(main, [*query, "--json"]).stderr == ""
    path.write_text(path.read_text().replace("calm", "clam"))
    stderr = CliRunner().invoke(main, [*query, "--json"]).stderr
    assert stderr.startswith("note: d_video: data/dpo/d_video.jsonl is not what dvc.lock names; `dvc checkout`")
    path.write_text("")
    assert "is not what" in CliRunner().invoke(main, [*query, "--json"]).stderr
