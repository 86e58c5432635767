"""Rows that a plan counts by: of files that stay, of params, and never of what a run by other params has left."""

import math
from dataclasses import asdict
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.runtime.io import write_json, write_rows
from pipeline.runtime.params_file import check_params
from pipeline.runtime.stage_output import metrics_path
from pipeline.runtime.store import Store
from schemas.critique import Critique
from schemas.fewshot import Fewshot
from schemas.rollout import Rollout
from tests.support.graphs import graph_of
from tests.support.rows import critique_row, prompt_fields
from tests.support.small_project import ROOT, small_project
from vpo.graph import read_graph
from vpo.planning.estimate import Planner
from vpo.planning.gpu import GpuPlanner
from vpo.planning.numbers import without_nan
from vpo.planning.rows import RowPlan, Rows
from vpo.planning.shares import LEAST, LIKELY, MOST
from vpo.recipe import merge

GRAPH = graph_of(
    rollout={
        "cmd": "python -m pipeline rollout data/models/sft data/queries.jsonl data/rollout.jsonl",
        "deps": ["data/queries.jsonl"], "outs": ["data/rollout.jsonl"],
    },
    critique={
        "cmd": "python -m pipeline critique data/rollout.jsonl data/critique.jsonl",
        "deps": ["data/rollout.jsonl"], "outs": ["data/critique.jsonl"],
    },
    refine={
        "cmd": "python -m pipeline refine data/critique.jsonl data/refine.jsonl",
        "deps": ["data/critique.jsonl"], "outs": ["data/refine.jsonl"],
    },
)  # fmt: skip
OUT = "data/critique.jsonl"


@pytest.fixture
def row_plan(laptop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda changed=None: RowPlan(laptop, changed, GRAPH)


def test_what_the_plan_has_made_goes_before_the_file_and_the_file_before_a_number(row_plan):
    write_rows(Path(OUT), [critique_row()], Critique)
    rows = row_plan()
    assert len(rows.rows(OUT, Critique).present) == 1
    rows.made[OUT] = Rows([1, 2, 3])
    assert rows.rows(OUT, Critique).present == [1, 2, 3]


def test_a_file_behind_a_changed_stage_tells_nothing(row_plan):
    write_rows(Path(OUT), [critique_row()], Critique)
    behind = row_plan({"rollout"}).rows(OUT, Critique)
    assert behind.present == () and math.isnan(behind.unknown)
    assert behind.source == f"{OUT} is made anew, and no plan can count the rows of critique"


def test_rows_that_nobody_can_count_are_unknown_and_never_none(row_plan):
    rows = row_plan().rows(OUT, Critique)
    assert math.isnan(rows.unknown) and "the rows that critique makes" in rows.source
    assert "no stage of dvc.yaml makes" in row_plan().rows("data/other.jsonl", Critique).source


def test_a_stage_is_idle_where_its_outs_are_there_and_nothing_before_it_changed(row_plan):
    stage = GRAPH.stages["critique"]
    assert not row_plan(set()).is_idle(stage)
    write_rows(Path(OUT), [critique_row()], Critique)
    assert (
        row_plan(set()).is_idle(stage) and row_plan({"params"}).is_idle(stage) and row_plan({"refine"}).is_idle(stage)
    )
    assert not row_plan({"rollout"}).is_idle(stage) and not row_plan(None).is_idle(stage)


def test_samples_are_counted_by_the_queries_and_the_share_that_the_last_run_kept(row_plan, laptop):
    rows = row_plan()
    rows.made["data/models/sft"] = Rows([1, 2], 2.0)
    assert rows.rows("data/rollout.jsonl", Rollout).unknown == 4 * laptop.rollout.k
    write_json(metrics_path(Path("data/rollout.jsonl")), {"units_in": 4, "units_done": 3})
    assert rows.kept(GRAPH.stages["rollout"]) == 0.75
    assert rows.rows("data/rollout.jsonl", Rollout).unknown == 3 * laptop.rollout.k


def test_the_share_of_flawed_prompts_is_of_this_run_else_of_the_last_else_assumed(row_plan):
    stage, rows = GRAPH.stages["critique"], row_plan()
    assert rows.estimate_flawed(stage, []) == (0.35, "assumed")
    write_json(metrics_path(Path("data/refine.jsonl")), {"units_in": 40, "dropped": {"no_flaw": 30}})
    assert rows.estimate_flawed(stage, []) == (0.25, "as in the last run")
    verdicts = [critique_row(violated=("accurate",) if number % 2 else ()) for number in range(20)]
    assert rows.estimate_flawed(stage, verdicts) == (0.5, "as in those already judged")


def test_rows_that_are_there_stand_for_the_lengths_of_those_to_come(row_plan):
    rows = row_plan()
    assert list(rows.examples(like := [Fewshot(**prompt_fields())])) == like
    rows.made["data/queries.jsonl"] = Rows([Fewshot(**prompt_fields(query="a dog"))])
    (example,) = rows.examples(())
    assert len(example.query) == 5 and len(example.prompt) == 550


RECIPES = ("vpo-cogvideox-2b", "vpo-cogvideox-5b", "prompt-a-video", "laptop-llm")
COUNTS = {
    "units_in": 400, "units_done": 100, "units_dropped": 300, "rows": 100, "refined_again": 90,
    "dropped": {"no_flaw": 10, "duplicate": 90}, "recheck": {"asked": 100, "unsafe": 1, "candidates": 100},
}  # fmt: skip
"""a run whose shares are far from all that is assumed"""


@pytest.fixture
def project(tmp_path, vpo_home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline").mkdir()
    for name in ("templates", "backends"):
        (tmp_path / "pipeline" / name).symlink_to(ROOT / "pipeline" / name)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    return tmp_path


def params_of(recipe=""):
    """Return the default params with a recipe over them, and the tree that they are made of."""
    yaml = YAML(typ="safe")
    tree = yaml.load((ROOT / "params.yaml").read_text())
    if recipe:
        list(merge(tree, yaml.load((ROOT / f"recipes/{recipe}.yaml").read_text())))
    Path("params.yaml").write_text("")
    with open("params.yaml", "w") as file:
        YAML().dump(tree, file)
    return check_params(tree, "params.yaml"), tree


def value_of(tree, key):
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def finish(folder):
    """Leave what a run by the default params leaves: rows, metrics, and a lock that tells the params of each stage."""
    small_project(folder)
    _, tree = params_of()
    graph = read_graph(folder)
    stages = {}
    for stage in graph.stages.values():
        keys = {key: value_of(tree, key) for key in stage.params if key}
        stages[stage.name] = {"cmd": "", "params": {"params.yaml": keys}}
        for path in stage.metrics:
            write_json(folder / path, COUNTS)
    YAML().dump({"schema": "2.0", "stages": stages}, folder / "dvc.lock")
    return tree


def changed_by(before, after):
    """Return the stages that DVC would call changed: those that list a key with another value."""
    return {
        stage.name
        for stage in read_graph(Path()).stages.values()
        if any(value_of(before, key) != value_of(after, key) for key in stage.params if key)
    }


def plan(params, changed, store=None, bound=LIKELY):
    planner = Planner(params, store or Store(), changed, bound=bound)
    rows = [*planner.estimates(), *GpuPlanner(planner).rows()]
    return without_nan([asdict(row) for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_plan_of_a_recipe_is_the_same_before_and_after_a_run_by_other_params(project, recipe):
    params, after = params_of(recipe)
    fresh = plan(params, set(read_graph(project).stages))
    before = finish(project)
    params, _ = params_of(recipe)
    assert Path("data/dpo/d_dpo.jsonl").is_file() and Path("data/queries/sft.jsonl").is_file()
    assert plan(params, changed_by(before, after)) == fresh


@pytest.mark.slow
def test_what_a_paper_gives_is_assumed_and_its_bounds_enclose_it(project):
    params, _ = params_of("vpo-cogvideox-2b")
    everything = set(read_graph(project).stages)
    likely, least, most = (plan(params, everything, bound=bound) for bound in (LIKELY, LEAST, MOST))

    def row(rows, stage):
        return next(item for item in rows if item["stage"] == stage)

    assert row(likely, "refine@dpo")["rows"] == pytest.approx(40_000 * 0.062)
    assert row(likely, "refine@sft")["rows"] == pytest.approx(10_000 * 0.113)
    assert row(least, "refine@dpo")["rows"] == pytest.approx(40_000 * 0.054)
    assert row(most, "refine@dpo")["rows"] == pytest.approx(40_000 * 0.156)
    assert row(likely, "render@dpo")["wanted"] == pytest.approx(40_000 * 0.938 * (1 + params.reward.replicate))


def test_shares_of_the_same_models_are_of_the_last_run(project):
    finish(project)
    params, _ = params_of()
    planner = Planner(params, Store(), {"sft"})
    assert planner.metrics(planner.stages["refine@dpo"]) == COUNTS
    assert planner.estimate_flawed(planner.stages["refine@dpo"], []) == (390 / 400, "as in the last run")
    assert not planner.assumes


def test_shares_of_another_teacher_are_not_used(project):
    finish(project)
    params, _ = params_of()
    params = params.model_copy(update={"teacher": params.teacher.model_copy(update={"model": "checker"})})
    planner = Planner(params, Store(), {"sft"})
    assert planner.metrics(planner.stages["refine@dpo"]) == {}
    assert planner.estimate_flawed(planner.stages["refine@dpo"], []) == (0.35, "assumed") and planner.assumes


def test_a_stage_that_no_lock_knows_has_no_shares(project):
    finish(project)
    Path("dvc.lock").unlink()
    params, _ = params_of()
    planner = Planner(params, Store(), {"sft"})
    assert planner.metrics(planner.stages["refine@dpo"]) == {}
