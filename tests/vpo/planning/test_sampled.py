"""Prompts that cost money though no teacher writes them: of a policy that is served, and of an arm's own LLM."""

from pathlib import Path

import pytest

from pipeline.runtime.params_file import load_params
from pipeline.runtime.store import Store
from schemas.params import Params
from tests.support.small_project import ROOT, queries, small_project, write_params
from vpo.plan import make_plan
from vpo.planning.estimate import Planner

PRICES = {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 10.0}


@pytest.fixture
def project(tmp_path, vpo_home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline").mkdir()
    small_project(tmp_path)
    for name in ("templates", "backends"):
        (tmp_path / "pipeline" / name).symlink_to(ROOT / "pipeline" / name)
    return tmp_path


def plan(**sections):
    write_params(Path(), queries={"source": "file", "path": "none.jsonl"}, **sections)
    params: Params = load_params("params.yaml")
    estimates = Planner(params, Store(), None).estimates()
    made = make_plan(params, Store(), estimates)
    return {row["stage"]: row for row in made["stages"]}, {row["seam"]: row for row in made["totals"]}


def served(**prices):
    tree = {"base_url": "http://127.0.0.1:9/v1", "model": None, **prices}
    policy = load_params(ROOT / "params.yaml").policy
    return {"backend": "openai", "template": str(ROOT / policy.template), "endpoint": tree}


def test_a_policy_that_is_served_for_money_is_counted_once_a_query(project):
    rows, totals = plan(policy=served(**PRICES))
    row = rows["rollout@dpo"]
    assert (row["seam"], row["model"], row["to_buy"]) == ("policy", "sft", len(queries("dpo")))
    assert row["output_tokens"] == 4 * len(queries("dpo")) * 180  # K prompts a request
    assert row["usd"] == pytest.approx(row["input_tokens"] * 2e-6 + row["output_tokens"] * 1e-5) and row["usd"] > 0
    assert totals["policy"]["usd"] == row["usd"]


def test_a_served_policy_without_a_price_makes_the_sum_unknown(project):
    rows, totals = plan(policy=served())
    assert rows["rollout@dpo"]["usd"] is None and totals["policy"]["usd"] is None


def test_a_policy_that_is_run_here_costs_nothing(project):
    rows, totals = plan()
    assert "rollout@dpo" not in rows and "policy" not in totals


def test_an_arm_of_an_llm_is_paid_from_its_own_section(project):
    llm = {"backend": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", **PRICES, "parse_attempts": 1}
    arms = {
        "original": {"prompts": "query", "source": "data/queries/test.jsonl"},
        "gpt": {"prompts": "llm", "source": str(ROOT / "pipeline/templates/fewshot.jinja"), "teacher": llm},
    }
    rows, totals = plan(evaluate={"arms": arms, "versus": [["gpt", "original"]]})
    row = rows["rollout_eval@test-gpt"]
    assert (row["seam"], row["to_buy"]) == ("evaluate.arms.gpt.teacher", len(queries("test")))
    assert row["usd"] > 0 and totals["evaluate.arms.gpt.teacher"]["usd"] == row["usd"]
