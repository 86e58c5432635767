import click
import pytest

from pipeline.runtime.io import write_json
from vpo.planning.actual import compare, show_actual

PLAN = {"at": "2026-01-01T00:00:00Z", "stages": [{"stage": "fewshot@sft", "to_buy": 8, "in_store": 2, "usd": 0.5}]}


def record(folder, name, **values):
    write_json(folder / f"{name}.json", {"stage": "fewshot@sft", "at": "2026-01-02T00:00:00Z"} | values)


def test_what_each_stage_bought_since_is_summed_beside_the_plan(tmp_path):
    write_json(tmp_path / "plan.json", PLAN)
    record(tmp_path / "runs", "first", answers=3, usd=0.25)
    record(tmp_path / "runs", "second", answers=4, from_store=3)
    record(tmp_path / "runs", "unplanned", stage="refine@sft", answers=1)
    comparison = compare(tmp_path / "plan.json", tmp_path / "runs")
    fewshot, refine = comparison["stages"]
    assert comparison["planned_at"] == PLAN["at"]
    assert (fewshot["to_buy planned"], fewshot["to_buy"]) == (8, 7)
    assert (fewshot["in_store planned"], fewshot["in_store"], fewshot["usd"]) == (2, 3, 0.25)
    assert (refine["to_buy planned"], refine["to_buy"]) == (None, 1)


def test_runs_before_the_plan_and_of_other_projects_do_not_count(tmp_path):
    write_json(tmp_path / "plan.json", PLAN)
    record(tmp_path / "runs", "before", at="2025-12-31T00:00:00Z", answers=3)
    record(tmp_path / "runs", "elsewhere", project="elsewhere", answers=3)
    assert compare(tmp_path / "plan.json", tmp_path / "runs")["stages"] == []
    record(tmp_path / "runs", "from the plan on", at=PLAN["at"], answers=2)
    (stage,) = compare(tmp_path / "plan.json", tmp_path / "runs")["stages"]
    assert stage["to_buy"] == 2


def test_nothing_to_compare_is_an_error(tmp_path):
    with pytest.raises(click.ClickException, match="run `vpo plan` before"):
        compare(tmp_path / "plan.json", tmp_path)
    with pytest.raises(click.ClickException, match="no stage has asked anything"):
        show_actual([])
