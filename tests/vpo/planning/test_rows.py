import math
from pathlib import Path

import pytest

from pipeline.runtime.io import write_json, write_rows
from pipeline.runtime.stage_output import metrics_path
from schemas.critique import Critique
from schemas.fewshot import Fewshot
from schemas.rollout import Rollout
from tests.support.graphs import graph_of
from tests.support.rows import critique_row, prompt_fields
from vpo.planning.rows import FLAWED, RowPlan, Rows, kept

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
def plan(laptop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda changed=None: RowPlan(laptop, changed, GRAPH)


def test_what_the_plan_has_made_goes_before_the_file_and_the_file_before_a_number(plan):
    write_rows(Path(OUT), [critique_row()], Critique)
    rows = plan()
    assert len(rows.rows(OUT, Critique).present) == 1
    rows.made[OUT] = Rows([1, 2, 3])
    assert rows.rows(OUT, Critique).present == [1, 2, 3]


def test_a_file_behind_a_changed_stage_only_says_how_many(plan):
    write_rows(Path(OUT), [critique_row()], Critique)
    behind = plan({"rollout"}).rows(OUT, Critique)
    assert (behind.present, behind.unknown, len(behind.like)) == ((), 1, 1)
    assert behind.source.endswith("made anew behind rollout")


def test_rows_that_nobody_can_count_are_unknown_and_never_none(plan):
    rows = plan().rows(OUT, Critique)
    assert math.isnan(rows.unknown) and "the rows that critique makes" in rows.source
    assert "no stage of dvc.yaml makes" in plan().rows("data/other.jsonl", Critique).source


def test_a_stage_is_idle_where_its_outs_are_there_and_nothing_before_it_changed(plan):
    stage = GRAPH.stages["critique"]
    assert not plan(set()).is_idle(stage)
    write_rows(Path(OUT), [critique_row()], Critique)
    assert plan(set()).is_idle(stage) and plan({"params"}).is_idle(stage) and plan({"refine"}).is_idle(stage)
    assert not plan({"rollout"}).is_idle(stage) and not plan(None).is_idle(stage)


def test_samples_are_counted_by_the_queries_and_the_share_that_the_last_run_kept(plan, laptop):
    rows = plan()
    rows.made["data/models/sft"] = Rows([1, 2], 2.0)
    assert rows.rows("data/rollout.jsonl", Rollout).unknown == 4 * laptop.rollout.k
    write_json(metrics_path(Path("data/rollout.jsonl")), {"units_in": 4, "units_done": 3})
    assert kept(GRAPH.stages["rollout"]) == 0.75
    assert rows.rows("data/rollout.jsonl", Rollout).unknown == 3 * laptop.rollout.k


def test_the_share_of_flawed_prompts_is_of_this_run_else_of_the_last_else_assumed(plan):
    stage, rows = GRAPH.stages["critique"], plan()
    assert rows.estimate_flawed(stage, []) == (FLAWED, "assumed")
    write_json(metrics_path(Path("data/refine.jsonl")), {"units_in": 40, "dropped": {"no_flaw": 30}})
    assert rows.estimate_flawed(stage, []) == (0.25, "as in the last run")
    verdicts = [critique_row(violated=("accurate",) if number % 2 else ()) for number in range(20)]
    assert rows.estimate_flawed(stage, verdicts) == (0.5, "as in those already judged")


def test_rows_that_are_there_stand_for_the_lengths_of_those_to_come(plan):
    rows = plan()
    assert list(rows.examples(like := [Fewshot(**prompt_fields())])) == like
    rows.made["data/queries.jsonl"] = Rows([Fewshot(**prompt_fields(query="a dog"))])
    (example,) = rows.examples(())
    assert len(example.query) == 5 and len(example.prompt) == 550
