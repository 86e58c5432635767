import json
import re
import shutil

import pytest
from click.testing import CliRunner

from pipeline.evaluate import compare_suite, evaluate, main, make_sheet, pool_runs
from pipeline.evaluation.arms import measure, read_arm
from pipeline.evaluation.statistics import mean_with_interval
from pipeline.runtime.io import read_rows, write_rows
from pipeline.runtime.params_file import ParamsError, load_params, refuse_same_judge
from schemas.base import Dropped
from schemas.critique import Critique
from schemas.evaluate import Evaluate
from schemas.render import Render
from schemas.reward import Reward
from schemas.rollout import Rollout
from tests.support.small_project import prompt, put, queries, small_project, write_params

TEST = queries("test")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def project(made, tmp_path):
    return shutil.copytree(made, tmp_path / "project")


@pytest.fixture(scope="module")
def evaluated(made, tmp_path_factory):
    """Return (the project after one run, the run's result); for reading alone."""
    project = shutil.copytree(made, tmp_path_factory.mktemp("evaluated") / "project")
    return project, run(project, VPO_HOME=str(project / "home"))


@pytest.fixture
def params(made):
    return load_params(made / "params.yaml")


def run(project, **environment):
    arguments = ["data/queries", "data/eval", "results/models", "data/evaluate.jsonl"]
    folder = [str(project / argument) for argument in arguments]
    return CliRunner(env=environment).invoke(main, [*folder, "--params", str(project / "params.yaml")])


def rows(project, **wanted):
    compared = read_rows(project / "data/evaluate.jsonl", Evaluate)
    return [row for row in compared if all(getattr(row, name) == value for name, value in wanted.items())]


def compared(a, b, versus=(("a", "b"),), **changes):
    settings = dict(target="offline", resamples=200, seed=0) | changes
    return list(evaluate({"a": {"reward": a}, "b": {"reward": b}}, {"reward": "judge"}, versus, **settings))


def test_a_difference_is_taken_over_the_queries_both_arms_have():
    difference = compared({"x": 3.0, "y": 1.0}, {"x": 2.0, "z": 9.0})[-1]
    assert (difference.versus, difference.value, difference.n) == ("b", 1.0, 1)


def test_a_metric_without_queries_has_no_row():
    assert [row.arm for row in compared({"x": 1.0}, {})] == ["a"]


def test_every_row_names_its_judge_and_an_unjudged_metric_says_counted():
    assert {row.judge for row in compared({"x": 1.0}, {"x": 1.0})} == {"judge"}
    counted = evaluate({"a": {"words": {"x": 3.0}}}, {}, (), target="t", resamples=100, seed=0)
    assert [row.judge for row in counted] == ["counted"]


def test_another_arm_changes_no_interval():
    a = {str(k): float(k) for k in range(20)}
    alone = evaluate({"a": {"reward": a}}, {}, (), target="offline", resamples=200, seed=0)
    assert next(alone).low == compared(a, a)[0].low


def test_several_runs_are_pooled_by_run_and_query():
    runs = [{"a": {"reward": {"x": 1.0}}}, {"a": {"reward": {"x": 3.0}}}]
    row = next(evaluate(pool_runs(runs), {}, (), target="t", resamples=100, seed=0, seeds=2))
    assert (row.value, row.n, row.seeds) == (2.0, 2, 2)


def test_z_scores_are_taken_over_the_clips_of_all_arms(made):
    """Over its own clips alone the mean of every arm would be 0."""
    params = load_params(made / "params.yaml")
    reward = params.reward.model_copy(update={"formula": "z_sum", "model": "dims", "weights": {"DD": 1.0}})
    arms = {name: read_arm(made / "data/eval/test" / name, TEST) for name in ("original", "dpo")}
    rows = compare_suite("test", TEST, arms, params.model_copy(update={"reward": reward}))
    means = {row.arm: row.value for row in rows if row.metric == "reward" and row.versus is None}
    assert means == {"original": 1.0, "dpo": -1.0}


def test_the_sheet_shows_each_clip_with_the_score_that_the_arms_are_compared_by(made):
    params = load_params(made / "params.yaml")
    arms = {name: read_arm(made / "data/eval/test" / name, TEST) for name in ("original", "dpo")}
    sheet = make_sheet(TEST, arms, params, made / "data/eval/test")
    assert [query.query_id for query in sheet.queries] == [row.query_id for row in TEST if not row.safety][:4]
    for name, arm in arms.items():
        rewards = measure(TEST, arm, params.reward)["reward"]
        shown = [clip for clip in sheet.clips[name] if clip.query_id in rewards]
        assert len(shown) == 4
        assert {clip.query_id: sheet.scores[clip.video_id] for clip in shown} == rewards


def test_intervals_are_drawn_by_the_seed_and_as_often_as_the_params_say(made):
    params = load_params(made / "params.yaml")
    arms = {name: read_arm(made / "data/eval/test" / name, TEST) for name in ("original", "dpo")}
    numbers = list(measure(TEST, arms["dpo"], params.reward)["diversity"].values())

    def interval(seed, resamples):
        base = params.base.model_copy(update={"seed": seed})
        evaluate = params.evaluate.model_copy(update={"bootstrap": resamples})
        rows = compare_suite("test", TEST, arms, params.model_copy(update={"base": base, "evaluate": evaluate}))
        (row,) = (row for row in rows if (row.arm, row.versus, row.metric) == ("dpo", None, "diversity"))
        return row.value, row.low, row.high

    assert interval(7, 101) == mean_with_interval(numbers, 101, 7)
    assert interval(7, 101) not in (interval(0, 101), interval(7, 1000))


def test_the_stage_writes_rows_metrics_page_tables_and_figures(evaluated):
    project, result = evaluated
    assert result.exit_code == 0, result.output
    assert [row.value for row in rows(project, metric="reward", versus="original")] == [1.0]
    metrics = json.loads((project / "results/evaluate/all.json").read_text())
    assert metrics["arms"]["dpo"]["dim_DD"] == 0.2
    assert metrics["differences"]["dpo - original"]["dim_DD"] == -0.4
    assert metrics["counts"]["dpo"]["queries"] == 5
    assert json.loads((project / "results/evaluate.json").read_text()) == {
        "dpo": {name: metrics["arms"]["dpo"][name] for name in ("reward", "aligned", "unsafe", "failed")}
    }
    assert (project / "results/evaluate/reward.csv").read_text().splitlines()[0] == "arm,value,low,high,n"
    assert (project / "results/evaluate/arms.png").stat().st_size > 5000
    assert (project / "results/evaluate/clips.png").stat().st_size > 5000


def test_the_page_says_that_the_world_is_offline_and_opens_with_the_motion_that_was_traded(evaluated):
    project, result = evaluated
    page = (project / "results/evaluate.md").read_text()
    assert "not comparable with published ones" in page
    assert "Judge: offline checker." in page
    (loss,) = re.findall(r"warning: (dpo against original: .*)", result.stderr)
    assert page.split("\n")[2] == f"**What got worse.** {loss}."
    assert "dim_DD falls by 0.4 [0.4, 0.4]" in loss and "while the trained reward rises by 1" in loss


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes(evaluated, project, vpo_home):
    def outputs(folder):
        paths = [folder / "data/evaluate.jsonl", *(folder / "results").rglob("*")]
        return {path.relative_to(folder): path.read_bytes() for path in paths if path.is_file()}

    assert run(project).exit_code == 0
    assert outputs(project) == outputs(evaluated[0])


def test_a_row_of_another_query_is_refused(project, vpo_home):
    stranger = Rollout(**prompt(queries("dpo")[0], "dpo", " now") | {"split": "test"})
    put(project / "data/eval/test/dpo/rollout.jsonl", [stranger], Rollout)
    result = run(project)
    assert result.exit_code == 1
    assert "not in the suite" in result.stderr


@pytest.fixture(scope="module")
def flawed(made, tmp_path_factory):
    """The same of a project where a verdict lacks and DPO's pairs can be told apart by a word; for reading alone."""
    project = shutil.copytree(made, tmp_path_factory.mktemp("flawed") / "project")
    path = project / "data/eval/test/dpo/critique.jsonl"
    write_rows(path, list(read_rows(path, Critique))[1:], Critique)
    words = [{"word": "drone", "chosen": 9, "rejected": 1}]
    shortcut = {"pairs": 99, "length_auc": 0.5, "words_auc": 0.763, "words": words, "carried_by": ["one", "two"]}
    metrics = project / "results/models/dpo.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text(json.dumps({"shortcuts": {"video": shortcut}}))
    (metrics.parent / "sft.json").write_text("{}")
    return project, run(project, VPO_HOME=str(project / "home"))


def test_prompts_without_verdict_are_warned_of(evaluated, flawed):
    line = "dpo: the judge gave no verdict on 1 of 5 prompts"
    assert line in flawed[1].stderr and line not in evaluated[1].stderr


def test_a_judge_equal_to_the_teacher_is_refused_with_exit_2(project, vpo_home):
    write_params(project, judge={"model": "grammar"})
    result = run(project)
    assert result.exit_code == 2
    assert "judge: offline grammar is the teacher itself" in result.stderr


def test_the_same_judge_is_allowed_where_params_say_so(project):
    refuse_same_judge(
        load_params(write_params(project, judge={"model": "grammar"}, evaluate={"allow_same_judge": True}))
    )


def test_the_same_model_at_another_host_is_another_judge(project):
    openai = {"backend": "openai", "model": "gpt-4o"}
    path = write_params(project, teacher=openai, judge=openai | {"base_url": "http://localhost:8000/v1"})
    refuse_same_judge(load_params(path))
    path = write_params(project, teacher=openai, judge=openai | {"base_url": "https://api.openai.com/v1"})
    with pytest.raises(ParamsError, match="teacher itself"):
        refuse_same_judge(load_params(path))


@pytest.mark.slow
def test_an_arm_that_was_set_aside_is_left_out_with_a_warning(project, vpo_home):
    folder = project / "data/eval/test/dpo"
    gone = [
        Dropped(input_id=f"{row.query_id}/0", reason="not_trained", detail="no pairs", suite="test", arm="dpo")
        for row in queries("test")
    ]
    put(folder / "rollout.jsonl", [], Rollout, gone)
    put(folder / "critique.jsonl", [], Critique)
    put(folder / "render.parquet", [], Render)
    put(folder / "reward.parquet", [], Reward)
    done = run(project)
    assert done.exit_code == 0 and "dpo is not compared: it was not trained" in done.output, done.output
    assert {row.arm for row in rows(project)} == {"original"} and all(row.versus is None for row in rows(project))
    assert "dpo is not compared" in (project / "results/evaluate.md").read_text()


@pytest.mark.slow
def test_a_second_suite_has_its_own_rows_and_its_name_beside_each_arm(project, vpo_home):
    write_params(project, evaluate={"suites": {"test": {}, "benchmark": {}}})
    shutil.copy(project / "data/queries/test.jsonl", project / "data/queries/benchmark.jsonl")
    shutil.copytree(project / "data/eval/test", project / "data/eval/benchmark")
    assert run(project).exit_code == 0
    rows = list(read_rows(project / "data/evaluate.jsonl", Evaluate))
    assert [row.suite for row in rows] == ["test"] * (len(rows) // 2) + ["benchmark"] * (len(rows) // 2)
    metrics = json.loads((project / "results/evaluate/all.json").read_text())
    assert list(metrics["arms"]) == ["original", "dpo", "original on benchmark", "dpo on benchmark"]
    assert metrics["arms"]["dpo"] == metrics["arms"]["dpo on benchmark"]
    assert list(metrics["differences"]) == ["dpo - original", "dpo on benchmark - original on benchmark"]
    assert "| metric | original | dpo | original on benchmark |" in (project / "results/evaluate.md").read_text()


def test_a_suite_without_queries_is_said_plainly(project, vpo_home):
    (project / "data/queries/test.jsonl").write_text("")
    done = run(project)
    assert done.exit_code == 1 and "no test queries, so nothing to compare" in done.output


def test_the_page_names_the_words_and_pairs_that_tell_chosen_from_rejected(evaluated, flawed):
    project, result = flawed
    assert result.exit_code == 0
    page = (project / "results/evaluate.md").read_text()
    assert "## What DPO's pairs can be told apart by" in page
    assert "dpo, video pairs: single words do (AUC 0.763), chosen : rejected drone (9:1)." in page
    assert "Pairs that carry it: one, two." in page
    assert "told apart" not in (evaluated[0] / "results/evaluate.md").read_text()


def test_runs_are_pooled_over_the_arms_and_metrics_that_all_of_them_have():
    one = {"sft": {"reward": {"q": 1.0}, "words": {"q": 9.0}}, "dpo": {"reward": {"q": 2.0}}}
    other = {"sft": {"reward": {"q": 3.0, "r": 4.0}}, "base": {"reward": {"q": 5.0}}}
    pooled = {"sft": {"reward": {"0/q": 1.0, "1/q": 3.0, "1/r": 4.0}}}
    assert pool_runs([one, other]) == pooled
    assert pool_runs([other, one]) == {"sft": {"reward": {"0/q": 3.0, "0/r": 4.0, "1/q": 1.0}}}
    assert pool_runs([one]) == {
        arm: {metric: {f"0/{query}": value for query, value in values.items()} for metric, values in metrics.items()}
        for arm, metrics in one.items()
    }
