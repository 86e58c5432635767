"""Every figure of a plan, of a small project whose calls can be counted by hand."""

from pathlib import Path

import pytest

from pipeline.runtime.params_file import load_params
from pipeline.runtime.store import Store
from tests.support.small_project import ROOT, small_project, write_params
from vpo.planning.estimate import Planner
from vpo.planning.shares import LEAST, LIKELY, MOST

pytestmark = pytest.mark.slow
PAID = {
    "backend": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "usd_per_million_input_tokens": 2.0,
    "usd_per_million_output_tokens": 10.0, "budget_usd": 100.0,
}  # fmt: skip
STAGES = ("queries", "fewshot@sft", "fewshot@eval", "critique@sft", "refine@sft", "critique_eval@test-original",
          "critique_eval@test-dpo", "critique@dpo", "refine@dpo")  # fmt: skip
ELSEWHERE = {"source": "file", "path": "none.jsonl"}
TABLE = "assumed: VPO Table 2, "


@pytest.fixture
def estimates(tmp_path, vpo_home, monkeypatch):
    """Return what the stages of a small project would buy, with changes of its params."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline").mkdir()
    small_project(tmp_path)
    for name in ("templates", "backends"):
        (tmp_path / "pipeline" / name).symlink_to(ROOT / "pipeline" / name)

    def plan(bound=LIKELY, **sections):
        write_params(Path(), **{"queries": ELSEWHERE} | sections)
        return {one.stage: one for one in Planner(load_params("params.yaml"), Store(), bound=bound).estimates()}

    return plan


@pytest.mark.parametrize(
    ("bound", "calls", "output_tokens"),
    [
        # 4 queries of sft, 5 of test, 4 rollouts of each of 4 queries of dpo; a share of 6.2, 11.3 or 15.6 % is flawed
        (LEAST, (456, 4, 5, 4 + 4 * 0.062 * 1.05, 4 * 0.062 * 2 * 1.05, 5, 5, 16 + 16 * 0.054 * 1.05,
                 16 * 0.054 * 2 * 1.05), 3719.6),
        (LIKELY, (572, 4, 5, 4 + 4 * 0.113 * 1.2, 4 * 0.113 * 2 * 1.2, 5, 5, 16 + 16 * 0.062 * 1.2,
                  16 * 0.062 * 2 * 1.2), 3781.9),
        (MOST, (807, 4, 5, 4 + 4 * 0.156 * 1.4, 4 * 0.156 * 2 * 1.35, 5, 5, 16 + 16 * 0.156 * 1.4,
                16 * 0.156 * 2 * 1.35), 4288.8),
    ],
)  # fmt: skip
def test_calls_follow_from_rows_shares_votes_and_rounds(estimates, bound, calls, output_tokens):
    made = estimates(bound, teacher=PAID, judge=PAID, critique={"votes": 3}, refine={"verify": 2})
    assert tuple(made) == STAGES
    assert [one.calls for one in made.values()] == pytest.approx(calls, abs=1e-3)
    assert [one.in_store for one in made.values()] == [0, 0, 0, 0, 0, 0, 5, 0, 0]
    assert all(one.to_buy == pytest.approx(one.calls - one.in_store) for one in made.values())
    critique = made["critique@dpo"]
    assert critique.output_tokens == pytest.approx(output_tokens, abs=0.1)
    assert all(one.usd == pytest.approx(one.input_tokens * 2e-6 + one.output_tokens * 1e-5) for one in made.values())
    assert [made[name].rows for name in ("refine@sft", "refine@dpo")] == pytest.approx([calls[4] / (
        2 * {LEAST: 1.05, LIKELY: 1.2, MOST: 1.35}[bound]), calls[8] / (
        2 * {LEAST: 1.05, LIKELY: 1.2, MOST: 1.35}[bound])])  # fmt: skip


def test_each_figure_says_where_it_is_from(estimates):
    made = estimates(teacher=PAID, judge=PAID | {"model": "n"}, critique={"votes": 3}, refine={"verify": 2})
    length = "0.25 input tokens a character: assumed, this model has not answered yet"

    def written(tokens, task):
        return f"{tokens} output tokens a {task}: assumed, this model has answered none yet"

    critique, refine, again = written(220, "critique"), written(260, "refine"), "a later vote says No too in 80%, so "
    gpt, sft = f"{TABLE}few-shot GPT-4o (VPO-SFT 6.2%, GLM-4 15.6%)", f"{TABLE}VPO-SFT (VPO 5.4%, GLM-4 15.6%)"
    assert [one.notes for one in made.values()] == [
        ["70% of the safety candidates are unsafe: assumed", length, written(60, "recheck")],
        [length, written(180, "fewshot")],
        [length, written(180, "fewshot")],
        [f"11.3% of the prompts get a first No: {gpt}", f"{again}1.20 votes follow a first No: assumed", length,
         critique],
        [f"11.3% of the prompts are found flawed: {gpt}", "the critic faults 20% of what was refined: assumed", length,
         critique, refine],
        [length, critique],
        [],
        [f"6.2% of the prompts get a first No: {sft}", f"{again}1.20 votes follow a first No: assumed", length,
         critique],
        [f"6.2% of the prompts are found flawed: {sft}", "the critic faults 20% of what was refined: assumed", length,
         critique, refine],
    ]  # fmt: skip
    assert [one.rows_from for one in made.values()] == [
        "queries.*_safety; the source is not read for a plan", "data/queries/sft.jsonl as it is",
        "data/queries/test.jsonl as it is", "what fewshot@sft makes", "what critique@sft makes",
        "data/queries/test.jsonl", "data/queries/test.jsonl", "4 for each query of data/queries/dpo.jsonl",
        "what critique@dpo makes",
    ]  # fmt: skip
    assert [(one.seam, one.model) for one in made.values()] == [
        ("judge", "n") if "eval@test" in name else ("teacher", "m") for name in STAGES
    ]
    assert all(one.paid and one.backend == "openai" for one in made.values())


def test_a_small_source_is_curated_for_the_plan_and_its_splits_are_the_rows_behind(estimates):
    made = estimates(teacher=PAID, queries={"source": "synthetic"}, world={"queries": 300})
    assert (made["queries"].rows_from, made["queries"].to_buy) == ("safety candidates of the source", 45)
    assert made["fewshot@sft"].calls == 170 and made["fewshot@sft"].rows_from == "queries"


def test_what_is_offline_is_called_and_not_bought(estimates):
    made = estimates()
    assert [one.calls for one in made.values()] == [572, 4, 5, 4, 1, 5, 5, 8, 8]
    assert {(one.paid, one.to_buy, one.usd, one.output_tokens) for one in made.values()} == {(False, 0, 0, 0)}
    assert {one.backend for one in made.values()} == {"offline"}
