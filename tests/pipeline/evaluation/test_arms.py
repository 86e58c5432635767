"""Every metric's value of every query of an arm."""

import shutil
from collections import Counter
from dataclasses import replace

import pytest

from pipeline.evaluation.arms import (
    OUTCOMES,
    Arm,
    count_units,
    is_offline,
    join_names,
    measure,
    name_dimensions,
    read_arm,
)
from pipeline.runtime.io import DataError
from pipeline.runtime.params_file import load_params
from schemas.base import Dropped, Provenance
from schemas.reasons import Reason
from schemas.rollout import Rollout
from tests.support.small_project import judged, prompt, put, queries, small_project

TEST = queries("test")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def params(made):
    return load_params(made / "params.yaml")


def values(prompts, verdicts, params, unserved=None):
    return measure(TEST, Arm(list(prompts), list(verdicts), [], [], unserved=unserved or {}), params.reward)


def mean(by_query):
    return sum(by_query.values()) / len(by_query)


@pytest.fixture
def written():
    return [Rollout(**prompt(row, "dpo", " now")) for row in TEST]


def test_outcome_shares_sum_to_one_over_all_queries(written, params):
    violations = [(), ("accurate",), ("harmless", "helpful")]
    verdicts = [judged(row, violated) for row, violated in zip(written[:3], violations, strict=True)]
    unserved = {TEST[3].query_id: "refused", TEST[4].query_id: "withheld"}
    measured = values(written[:3], verdicts, params, unserved)
    shares = {name: mean(measured[name]) for name in OUTCOMES}
    assert shares == {"aligned": 0.2, "imprecise": 0.2, "refusal": 0.2, "withheld": 0.2, "unsafe_all": 0.2}


@pytest.mark.parametrize(("reason", "metrics"), [
    ("refused", {"refusal": 1.0, "withheld": 0.0, "failed": 0.0}),
    ("content_filter", {"refusal": 1.0, "withheld": 0.0, "failed": 0.0}),
    ("withheld", {"refusal": 0.0, "withheld": 1.0, "failed": 1.0}),
    ("truncated", {"refusal": 0.0, "withheld": 0.0, "failed": 1.0}),
    (None, {"refusal": 0.0, "withheld": 0.0, "failed": 1.0}),
])  # fmt: skip
def test_a_refusal_a_guarded_query_and_a_failure_are_told_apart(written, params, reason, metrics):
    lost = TEST[4].query_id
    measured = values(written[:4], [], params, {lost: reason} if reason else {})
    assert {name: measured[name][lost] for name in metrics} == metrics
    assert measured["unsafe"] == {lost: 0.0}
    assert measured["unsafe_written"] == {}
    assert mean(measured["failed"]) == metrics["failed"] / 5


def test_a_query_served_as_it_is_counts_among_what_is_served_and_not_among_what_is_written(made, params):
    arm = read_arm(made / "data/eval/test/dpo", TEST)
    first, *others = arm.prompts
    served = first.model_copy(update={"served": "query", "failure": "truncated"})
    measured = measure(TEST, replace(arm, prompts=[served, *others]), params.reward)
    assert measured["failed"] == {row.query_id: float(row is TEST[0]) for row in TEST}
    assert len(measured["reward"]) == 4
    assert measured["reward_written"] == {row.query_id: 1.0 for row in TEST[1:4]}
    assert len(measured["aligned"]) == len(measured["words"]) == 5


def test_unsafe_counts_what_is_served_and_unsafe_written_what_the_arm_wrote(written, params):
    verdicts = [judged(row) for row in written]
    assert values(written, verdicts, params)["unsafe_written"] == {TEST[4].query_id: 1.0}
    raw = written[4].model_copy(update={"served": "query", "failure": "truncated"})
    measured = values([*written[:4], raw], verdicts, params)
    assert (measured["unsafe"], measured["unsafe_written"]) == ({TEST[4].query_id: 1.0}, {})


def test_why_a_query_got_nothing_is_read_from_what_was_dropped(made, tmp_path):
    folder = shutil.copytree(made / "data/eval/test/dpo", tmp_path / "dpo")
    lost = Dropped(input_id=f"{TEST[4].query_id}/0", reason="withheld", detail="truncated: no end")
    put(folder / "rollout.jsonl", [], Rollout, [lost])
    assert read_arm(folder, TEST).unserved == {TEST[4].query_id: "withheld"}


def test_an_arm_of_other_queries_is_refused(made):
    with pytest.raises(DataError, match="1 queries are not in the suite"):
        read_arm(made / "data/eval/test/dpo", TEST[:4])


def test_units_say_how_often_the_query_was_served_and_why(made):
    arm = read_arm(made / "data/eval/test/dpo", TEST)
    rows = [row.model_copy(update={"served": "query", "failure": "empty"}) for row in arm.prompts[:2]]
    counts = count_units(TEST, replace(arm, prompts=[*rows, *arm.prompts[2:]]))
    assert (counts["query_served"], counts["failures"]) == (2, {"empty": 2})


def test_a_prompt_without_verdict_is_left_out_of_the_shares(written, params):
    measured = values(written, [judged(row) for row in written[:4]], params)
    assert len(measured["aligned"]) == 4
    assert measured["unsafe"] == {}


def test_unsafe_is_a_share_of_the_safety_queries_alone(written, params):
    measured = values(written, [judged(row) for row in written], params)
    assert measured["unsafe"] == {TEST[4].query_id: 1.0}
    assert set(measured["aligned_general"].values()) == {1.0}
    assert len(measured["aligned_general"]) == 4


def test_a_verdict_of_no_without_a_principle_is_imprecise(written, params):
    verdict = judged(written[0], ()).model_copy(update={"aligned": False})
    assert values(written[:1], [verdict], params)["imprecise"][TEST[0].query_id] == 1.0


def test_several_samples_of_a_query_count_as_their_mean(params):
    two = [Rollout(**prompt(TEST[0], "dpo", ending, sample)) for sample, ending in enumerate([" a", " a b c"])]
    measured = values(two, [judged(two[0], ()), judged(two[1], ("helpful",))], params)
    assert measured["aligned"][TEST[0].query_id] == 0.5
    assert measured["words"][TEST[0].query_id] == 6


def test_rewards_and_dimensions_are_of_general_queries_with_a_clip(made, params):
    arm = read_arm(made / "data/eval/test/dpo", TEST)
    measured = measure(TEST, arm, params.reward)
    assert measured["reward"] == {row.query_id: 1.0 for row in TEST[:4]}
    assert measured["dim_DD"] == {row.query_id: 0.2 for row in TEST[:4]}
    fewer = Arm(arm.prompts, arm.verdicts, arm.clips[1:], arm.rewards)
    assert len(measure(TEST, fewer, params.reward)["reward"]) == 3


def test_a_dimension_that_two_models_have_is_told_apart(made, params):
    arm = read_arm(made / "data/eval/test/dpo", TEST)
    again = [row.model_copy(update={"reward": "checklist"}) for row in arm.rewards if row.dims]
    metrics = name_dimensions([*arm.rewards, *again], params.reward)
    assert metrics["dim_DD"] == ("checklist", "DD")
    assert metrics["dim_dims_DD"] == ("dims", "DD")


def test_every_metric_of_an_arm_in_one_table_by_hand(params):
    """Of four general queries one was served as it is, one refused, one nobody knows of; the fifth is unsafe."""
    general, failed, refused, unknown, unsafe = TEST
    prompts = [Rollout(**prompt(general, "dpo", " now")), Rollout(**prompt(general, "dpo", " then", sample=1))]
    prompts += [Rollout(**prompt(failed, "dpo", "")), Rollout(**prompt(unsafe, "dpo", " now"))]
    prompts[2] = prompts[2].model_copy(update={"served": "query", "failure": "truncated"})
    violated = ((), ("accurate",), (), ("harmless", "accurate"))
    verdicts = [judged(row, names) for row, names in zip(prompts, violated, strict=True)]
    made = values(prompts, verdicts, params, {refused.query_id: Reason.REFUSED.value})
    g, f, r, u, s = (row.query_id for row in (general, failed, refused, unknown, unsafe))

    def shares(**of):
        return {g: 0.0, f: 0.0, r: 0.0, u: 0.0, s: 0.0} | {
            dict(g=g, f=f, r=r, u=u, s=s)[name]: n for name, n in of.items()
        }

    assert {name: made[name] for name in OUTCOMES} == {
        "aligned": shares(g=0.5, f=1.0), "imprecise": shares(g=0.5), "refusal": shares(r=1.0), "withheld": shares(),
        "unsafe_all": shares(s=1.0),
    }  # fmt: skip
    assert made["failed"] == shares(f=1.0, u=1.0)
    assert made["unsafe"] == made["unsafe_written"] == {s: 1.0}
    assert made["aligned_general"] == {g: 0.5, f: 1.0, r: 0.0, u: 0.0}
    assert made["words"] == {row.query_id: len(row.query.split()) + more for row, more in
                             ((general, 1), (failed, 0), (unsafe, 1))}  # fmt: skip
    assert made["reward"] == made["reward_written"] == {}
    assert count_units(TEST, Arm(prompts, verdicts[:3], [], [], {"rollout": Counter({"refused": 1})})) == {
        "queries": 5, "prompts": 4, "query_served": 1, "without_prompt": 2, "without_verdict": 1, "clips": 0,
        "without_score": 0, "failures": {"truncated": 1}, "dropped": {"rollout": {"refused": 1}},
    }  # fmt: skip


def test_the_names_of_writers_are_joined_once_each_in_order():
    by = [Provenance(backend="b", model=model, revision="1") for model in ("y", "x", "y")]
    assert join_names(by) == "b x + b y" and join_names([]) == "none"
    assert [is_offline(one) for one in (by[0], by[0].model_copy(update={"backend": "offline"}))] == [False, True]
