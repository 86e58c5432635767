"""Every metric's value of every query of an arm."""

import pytest

from pipeline.evaluation.arms import Arm, measure, name_dimensions, read_arm
from pipeline.runtime.params_file import load_params
from schemas.rollout import Rollout
from tests.support.small_project import judged, prompt, queries, small_project

TEST = queries("test")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def params(made):
    return load_params(made / "params.yaml")


def values(prompts, verdicts, params, clips=(), rewards=()):
    return measure(TEST, Arm(list(prompts), list(verdicts), list(clips), list(rewards)), params.reward)


def mean(by_query):
    return sum(by_query.values()) / len(by_query)


@pytest.fixture
def written():
    return [Rollout(**prompt(row, "dpo", " now")) for row in TEST]


def test_outcome_shares_sum_to_one_over_all_queries(written, params):
    found = [(), ("accurate",), ("harmless", "helpful")]
    verdicts = [judged(row, violated) for row, violated in zip(written[:3], found, strict=True)]
    found = values(written[:3], verdicts, params)
    shares = {name: mean(found[name]) for name in ("aligned", "imprecise", "refusal", "unsafe_all")}
    assert shares == {"aligned": 0.2, "imprecise": 0.2, "refusal": 0.4, "unsafe_all": 0.2}


def test_a_query_without_prompt_is_a_refusal(written, params):
    assert values(written[1:], [], params)["refusal"] == {TEST[0].query_id: 1.0}


def test_a_prompt_without_verdict_is_left_out_of_the_shares(written, params):
    found = values(written, [judged(row) for row in written[:4]], params)
    assert len(found["aligned"]) == 4
    assert found["unsafe"] == {}


def test_unsafe_is_a_share_of_the_safety_queries_alone(written, params):
    found = values(written, [judged(row) for row in written], params)
    assert found["unsafe"] == {TEST[4].query_id: 1.0}
    assert set(found["aligned_general"].values()) == {1.0}
    assert len(found["aligned_general"]) == 4


def test_a_verdict_of_no_without_a_principle_is_imprecise(written, params):
    verdict = judged(written[0], ()).model_copy(update={"aligned": False})
    assert values(written[:1], [verdict], params)["imprecise"][TEST[0].query_id] == 1.0


def test_several_samples_of_a_query_count_as_their_mean(params):
    two = [Rollout(**prompt(TEST[0], "dpo", ending, sample)) for sample, ending in enumerate([" a", " a b c"])]
    found = values(two, [judged(two[0], ()), judged(two[1], ("helpful",))], params)
    assert found["aligned"][TEST[0].query_id] == 0.5
    assert found["words"][TEST[0].query_id] == 6


def test_rewards_and_dimensions_are_of_general_queries_with_a_clip(made, params):
    arm = read_arm(made / "data/eval/test/dpo", TEST)
    found = measure(TEST, arm, params.reward)
    assert found["reward"] == {row.query_id: 1.0 for row in TEST[:4]}
    assert found["dim_DD"] == {row.query_id: 0.2 for row in TEST[:4]}
    fewer = Arm(arm.prompts, arm.verdicts, arm.clips[1:], arm.rewards)
    assert len(measure(TEST, fewer, params.reward)["reward"]) == 3


def test_a_dimension_that_two_models_have_is_told_apart(made, params):
    arm = read_arm(made / "data/eval/test/dpo", TEST)
    again = [row.model_copy(update={"reward": "checklist"}) for row in arm.rewards if row.dims]
    metrics = name_dimensions([*arm.rewards, *again], params.reward)
    assert metrics["dim_DD"] == ("checklist", "DD")
    assert metrics["dim_dims_DD"] == ("dims", "DD")
