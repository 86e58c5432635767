"""The plan of a project that has run, under another recipe, is that of a fresh clone: no old row and share counts."""

from dataclasses import asdict
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.runtime.io import write_json
from pipeline.runtime.params_file import check_params
from pipeline.runtime.store import Store
from tests.support.small_project import ROOT, small_project
from vpo.graph import read_graph
from vpo.planning.estimate import Planner
from vpo.planning.gpu import GpuPlanner
from vpo.planning.numbers import without_nan
from vpo.planning.shares import LEAST, LIKELY, MOST
from vpo.recipe import merge

RECIPES = ("vpo-cogvideox-2b", "vpo-cogvideox-5b", "prompt-a-video")
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


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_plan_of_a_recipe_is_the_same_before_and_after_a_run_by_other_params(project, recipe):
    params, after = params_of(recipe)
    fresh = plan(params, set(read_graph(project).stages))
    before = finish(project)
    params, _ = params_of(recipe)
    assert Path("data/dpo/d_dpo.jsonl").is_file() and Path("data/queries/sft.jsonl").is_file()
    assert plan(params, changed_by(before, after)) == fresh


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
    assert planner.flawed(planner.stages["refine@dpo"], []) == (390 / 400, "as in the last run")
    assert not planner.assumes


def test_shares_of_another_teacher_are_not_used(project):
    finish(project)
    params, _ = params_of()
    params = params.model_copy(update={"teacher": params.teacher.model_copy(update={"model": "checker"})})
    planner = Planner(params, Store(), {"sft"})
    assert planner.metrics(planner.stages["refine@dpo"]) == {}
    assert planner.flawed(planner.stages["refine@dpo"], []) == (0.35, "assumed") and planner.assumes


def test_a_stage_that_no_lock_knows_has_no_shares(project):
    finish(project)
    Path("dvc.lock").unlink()
    params, _ = params_of()
    planner = Planner(params, Store(), {"sft"})
    assert planner.metrics(planner.stages["refine@dpo"]) == {}
