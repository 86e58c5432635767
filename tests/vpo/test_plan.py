import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline import critique, fewshot, queries, refine
from pipeline.backends.teacher.offline import answer
from pipeline.runtime.io import write_json
from pipeline.runtime.params_file import load_params
from pipeline.runtime.store import Store
from tests.support.llm_server import serving
from tests.support.small_project import ROOT
from vpo.plan import main
from vpo.planning.estimate import Planner

pytestmark = pytest.mark.slow  # together they take a good share of a minute

PRICES = {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 10.0}
SMALL = {
    "world": {"queries": 420},
    "queries": {"sft": 60, "sft_safety": 20, "dpo": 14, "dpo_safety": 6, "test": 12, "test_safety": 6},
}


@pytest.fixture
def project(tmp_path, vpo_home, monkeypatch):
    """A project with the graph and its templates and nothing made yet; no key is set."""
    folder = tmp_path / "project"
    (folder / "pipeline").mkdir(parents=True)
    (folder / "pipeline/templates").symlink_to(ROOT / "pipeline/templates")
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    monkeypatch.chdir(folder)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    write()
    return folder


def write(**sections):
    yaml = YAML()
    tree = yaml.load((ROOT / "params.yaml").read_text())
    for section, values in (*SMALL.items(), *sections.items()):
        tree[section].update(values)
    with open("params.yaml", "w") as file:
        yaml.dump(tree, file)


def paid(server, **more):
    return {"backend": "openai", "model": "m", "base_url": server.base_url, **PRICES, **more}


def plan(*options):
    done = CliRunner().invoke(main, ["--json", "--no-dvc", *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    return {row["stage"]: row for row in found["stages"]}, found.get("totals")


def run(stage, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-of-the-test")
        patch.setenv("DVC_STAGE", f"{stage.__name__.rpartition('.')[2]}@sft" if stage is not queries else "queries")
        done = CliRunner().invoke(stage.main, arguments)
    assert done.exit_code == 0, done.output


def run_queries():
    run(queries, *(f"data/queries/{split}.jsonl" for split in ("sft", "dpo", "test")))


def run_fewshot():
    run(fewshot, "data/queries/sft.jsonl", "data/sft/fewshot.jsonl")


def run_critique():
    run(critique, "data/sft/fewshot.jsonl", "data/sft/critique.jsonl")


def run_refine():
    run(refine, "data/sft/critique.jsonl", "data/sft/refine.jsonl")


def lines(path):
    return Path(path).read_text().splitlines()


def teacher(world):
    return lambda model, messages: answer("grammar", messages, 0, world)


def test_offline_nothing_is_bought_and_the_calls_are_listed(project):
    stages, (total, judge) = plan()
    assert stages["fewshot@sft"]["calls"] == 80
    assert total["to_buy"] == total["usd"] == 0
    assert total["calls"] > 200 and judge["calls"] == 7 * 18
    said = CliRunner().invoke(main, ["--no-dvc"]).stdout
    assert "nothing is bought" in said


def test_a_plan_needs_no_key_sends_nothing_and_is_what_the_run_then_asks(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server))
        planned, _ = plan()
        assert server.requests == []
        run_queries()
        assert len(server.requests) == pytest.approx(planned["queries"]["to_buy"], rel=0.25)

        planned, _ = plan()
        server.forget()
        assert planned["queries"]["to_buy"] == 0 and planned["fewshot@sft"]["to_buy"] == 80
        run_fewshot()
        assert len(server.log) == 80

        for make, stage in ((run_critique, "critique@sft"), (run_refine, "refine@sft")):
            planned, _ = plan()
            server.forget()
            make()
            assert len(server.log) == planned[stage]["to_buy"], stage
        planned, _ = plan()
        for stage in ("queries", "fewshot@sft", "critique@sft", "refine@sft"):
            assert planned[stage]["to_buy"] == 0 and planned[stage]["in_store"] > 0
        assert planned["critique@sft"]["usd"] == 0


@pytest.mark.slow
def test_votes_and_verification_are_expected_before_they_are_known(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server), critique={"votes": 3}, refine={"verify": 2})
        run_queries()
        run_fewshot()
        planned, _ = plan()
        expected = planned["critique@sft"]["to_buy"]
        assert planned["critique@sft"]["calls"] > 80 > planned["critique@sft"]["rows"] - 1
        server.forget()
        run_critique()
        assert len(server.log) == pytest.approx(expected, rel=0.25)
        planned, _ = plan()
        row = planned["refine@sft"]
        assert row["to_buy"] > 2 * row["rows"]  # each once, and its check, and some again
        server.forget()
        run_refine()
        assert len(server.log) == pytest.approx(row["to_buy"], rel=0.25)
        planned, _ = plan()
        assert planned["critique@sft"]["to_buy"] == planned["refine@sft"]["to_buy"] == 0


def test_a_vote_that_is_missing_is_one_call_and_its_row_goes_on(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server), critique={"votes": 3})
        run_queries()
        run_fewshot()
        run_critique()
        store = Store()
        votes = [row[0] for row in store.connection.execute(
            "select key from answers where json_extract(request, '$.sample') = 1")]  # fmt: skip
        before, _ = plan()
        for key in votes:
            store.forget(key)
        after, _ = plan()
    assert after["critique@sft"]["to_buy"] == pytest.approx(1.2 * len(votes), rel=0.2)
    assert after["refine@sft"]["rows"] == before["refine@sft"]["rows"] == len(votes) > 10


def test_what_a_killed_stage_has_bought_is_known_to_the_plan_of_the_next(project, laptop):
    """Rows of the answers that are there are known, the others are counted: together they are the whole."""
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server))
        run_queries()
        run_fewshot()
        store = Store()
        keys = [
            key for key, request in store.connection.execute("select key, request from answers order by key")
            if "[[start]]" in request
        ]  # fmt: skip
        for key in keys[:30]:
            store.forget(key)
        planned, _ = plan()
    assert (planned["fewshot@sft"]["in_store"], planned["fewshot@sft"]["to_buy"]) == (50, 30)
    assert planned["critique@sft"]["rows"] == pytest.approx(80, abs=3)


def test_the_budget_left_is_compared_and_a_price_that_is_unknown_is_asked_for(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server, budget_usd=1e-4), judge=paid(server, model="j", usd_per_million_input_tokens=None))
        _, (teacher_total, judge_total) = plan()
        said = CliRunner().invoke(main, ["--no-dvc"]).stdout
    assert teacher_total["left_usd"] == 1e-4 and teacher_total["enough"] is False
    assert "NOT ENOUGH" in said
    assert judge_total["usd"] is None and judge_total["to_buy"] > 0
    assert "judge j: " in said and "the price is unknown: set judge.usd_per_million_input_tokens" in said


def test_a_judge_of_the_same_model_spends_from_the_same_budget(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server), judge=paid(server))
        _, totals = plan()
        enough_for_one = max(total["usd"] for total in totals) * 1.01
        write(teacher=paid(server, budget_usd=enough_for_one), judge=paid(server))
        _, (together, _) = plan()
        write(teacher=paid(server, budget_usd=enough_for_one), judge=paid(server, model="j"))
        _, (alone, _) = plan()
    assert (together["enough"], alone["enough"]) == (False, True)


def test_what_is_spent_is_taken_off_the_budget(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server, budget_usd=1.0))
        run_queries()
        _, (total, _) = plan()
    assert 0 < total["spent_usd"] == spent()
    assert total["left_usd"] == 1.0 - spent()


def test_a_batch_costs_half(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server))
        _, (direct, _) = plan()
        write(teacher=paid(server, mode="batch"))
        _, (batch, _) = plan()
    assert 0 < batch["usd"] == pytest.approx(direct["usd"] / 2)


def test_what_is_assumed_is_said(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server))
        said = CliRunner().invoke(main, ["--no-dvc"]).stdout
    assert "0.25 input tokens a character: assumed" in said
    assert "11.3% of the prompts are found flawed: assumed: VPO Table 2, few-shot GPT-4o" in said
    assert "6.2% of the prompts are found flawed: assumed: VPO Table 2, VPO-SFT" in said
    assert "rows: 4 for each query of data/queries/dpo.jsonl (critique@dpo)" in said


def test_asking_cut_answers_once_more_has_its_price_told(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server, max_completion_tokens=200))
        once, _ = plan()
        write(teacher=paid(server, max_completion_tokens=200, retry_truncated=True))
        again, _ = plan()
    stage, before = again["fewshot@sft"], once["fewshot@sft"]
    assert stage["to_buy"] == pytest.approx(1.02 * before["to_buy"])
    assert stage["output_tokens"] == pytest.approx(before["output_tokens"] + 0.02 * 80 * 400)
    assert before["usd"] < stage["usd"] < 1.1 * before["usd"]
    assert (
        "retry_truncated buys 0.02 of the answers once more, with room for 400 output tokens: assumed" in stage["notes"]
    )
    assert not any("retry_truncated" in note for note in before["notes"])


def test_a_ready_data_set_asks_nothing_in_its_lane(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server), d_sft={"path": "mine.jsonl"}, d_dpo={"path": "mine.jsonl"})
        planned, _ = plan()
    quiet = ("fewshot@sft", "critique@sft", "refine@sft", "critique@dpo", "refine@dpo")
    assert [planned[stage]["calls"] for stage in quiet] == [0] * 5
    assert planned["fewshot@eval"]["to_buy"] == 18


def test_equal_questions_of_two_stages_are_counted_once(project, laptop):
    with serving(teacher(laptop.world)) as server:
        arms = {name: {"prompts": "query", "source": "data/queries/test.jsonl"} for name in ("one", "two")}
        write(judge=paid(server), evaluate={"arms": arms, "versus": []})
        planned, (_, judge) = plan()
    assert (planned["critique_eval@test-one"]["to_buy"], planned["critique_eval@test-two"]["to_buy"]) == (18, 0)
    assert judge["to_buy"] == 18


def test_rows_that_a_changed_stage_makes_anew_are_not_looked_up(project, laptop):
    """The rollouts on disk are of the old policy: their answers in the store will not serve the new ones."""
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server))
        run_queries()
        run_fewshot()
        run_critique()
        run_refine()
        made = [json.loads(line) | {"split": "dpo"} for line in lines("data/sft/fewshot.jsonl")]
        (project / "data/dpo").mkdir()
        (project / "data/dpo/rollout.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
        params, store = load_params("params.yaml"), Store()
        same, params_alone, other = (
            {row.stage: row for row in Planner(params, store, changed).estimates()}["critique@dpo"]
            for changed in (None, {"params", "critique@dpo"}, {"sft"})
        )
    assert (same.in_store, same.to_buy) == (len(made), 0)
    assert (other.in_store, other.to_buy) == (0, len(made))
    assert params_alone.to_buy == 0
    assert other.rows_from == "4 for each query of data/queries/dpo.jsonl"


def test_a_stage_that_nothing_has_changed_for_does_not_run(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server))
        run_queries()
        run_fewshot()
        run_critique()
        params, store = load_params("params.yaml"), Store(project / "empty")
        found = {row.stage: row for row in Planner(params, store, {"refine@sft"}).estimates()}
    assert found["queries"].calls == found["fewshot@sft"].calls == found["critique@sft"].calls == 0
    assert found["critique@sft"].notes == ["unchanged: does not run"]
    flawed = sum(not json.loads(line)["aligned"] for line in lines("data/sft/critique.jsonl"))
    assert found["refine@sft"].to_buy == flawed > 10


def test_actual_sets_what_was_bought_beside_the_plan(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server))
        run_queries()
        planned, _ = plan()
        run_fewshot()
        found, _ = plan("--actual")
    row = found["fewshot@sft"]
    assert row["to_buy"] == row["to_buy planned"] == 80
    assert row["input_tokens planned"] == planned["fewshot@sft"]["input_tokens"]
    assert row["input_tokens"] > 0 and row["usd"] == pytest.approx(
        row["input_tokens"] * 2e-6 + row["output_tokens"] * 1e-5
    )


def test_actual_leaves_out_runs_before_the_plan_and_of_other_projects(project, vpo_home):
    plan()
    fields = {"stage": "queries", "answers": 5, "from_store": 0, "input_tokens": 1, "output_tokens": 1, "usd": 1.0}
    write_json(vpo_home / "runs/old.json", fields | {"at": "2020-01-01T00:00:00Z"})
    write_json(vpo_home / "runs/new.json", fields | {"at": "2100-01-01T00:00:00Z", "project": str(project)})
    write_json(vpo_home / "runs/other.json", fields | {"at": "2100-01-01T00:00:00Z", "project": "elsewhere"})
    found, _ = plan("--actual")
    assert found["queries"]["to_buy"] == 5


def test_without_a_plan_there_is_nothing_to_compare(project):
    assert "run `vpo plan` before" in CliRunner().invoke(main, ["--actual"]).output


@pytest.mark.slow
def test_tokens_and_money_come_close_once_the_model_has_been_seen(project, laptop):
    with serving(teacher(laptop.world)) as server:
        write(teacher=paid(server))
        run_queries()
        for make in (run_fewshot, run_critique, run_refine):
            make()
        write(teacher=paid(server), queries=SMALL["queries"] | {"sft": 120})
        for make, stage in ((run_fewshot, "fewshot@sft"), (run_critique, "critique@sft"), (run_refine, "refine@sft")):
            run_queries()
            planned, _ = plan()
            server.forget()
            before = spent()
            make()
            totals = server.totals()
            row = planned[stage]
            assert row["to_buy"] == totals["requests"] > 10
            assert row["input_tokens"] == pytest.approx(totals["input_tokens"], rel=0.15)
            assert row["output_tokens"] == pytest.approx(totals["output_tokens"], rel=0.15)
            assert row["usd"] == pytest.approx(spent() - before, rel=0.15)


def spent():
    with Store() as store:
        return sum(usd for (usd,) in store.connection.execute("select usd from spent"))
