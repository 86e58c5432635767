"""What got worse between two arms, in sentences."""

from pipeline.evaluation.losses import describe_change, name_losses, untrained_metrics
from schemas.evaluate import Evaluate
from schemas.reward import Dimension, Reward
from tests.support.rows import BY

SIGNS = {"failed": -1, "aligned": 1, "dim_DD": 1}


def number(metric, value, low, high, versus="sft"):
    return Evaluate(
        suite="test", target="t", arm="dpo", versus=versus, metric=metric, value=value, low=low, high=high, n=90,
        seeds=1, judge="j",
    )  # fmt: skip


def test_more_failures_are_said_in_points_first_of_all():
    rows = [number("failed", 0.107, 0.053, 0.16), number("dim_DD", -0.2, -0.3, -0.1)]
    assert name_losses(rows, SIGNS) == [
        "dpo against sft: failed rises by 10.7 points [5.3, 16.0], dim_DD falls by 0.2 [0.1, 0.3]"
    ]


def test_a_sentence_says_that_the_trained_reward_rose_meanwhile():
    fell = number("dim_DD", -0.2, -0.3, -0.1)
    assert name_losses([number("reward", 1, 0.5, 1.5), fell], SIGNS) == [
        "dpo against sft: dim_DD falls by 0.2 [0.1, 0.3], while the trained reward rises by 1"
    ]
    for low in (-0.5, 0.0):
        assert "while" not in name_losses([number("reward", 1, low, 1.5), fell], SIGNS)[0]


def test_what_got_better_or_moved_within_its_interval_is_not_named():
    better = [number("failed", -0.1, -0.2, -0.05), number("aligned", 0.1, 0.05, 0.2)]
    unclear = [number("failed", 0.1, -0.01, 0.2), number("aligned", -0.1, -0.2, 0.0), number("words", -9, -10, -8)]
    touching = [number("failed", 0.1, 0.0, 0.2)]
    assert name_losses(better, SIGNS) == name_losses(unclear, SIGNS) == name_losses(touching, SIGNS) == []


def test_a_plain_value_is_no_difference():
    assert name_losses([number("failed", 0.1, 0.05, 0.2, versus=None)], SIGNS) == []


def test_the_trained_reward_and_its_own_dimensions_are_not_watched(laptop):
    def scored(model, dims):
        dims = tuple(Dimension(name=name, value=1.0) for name in dims)
        return Reward(
            video_id="v", query_id="q", prompt_id="p", frames_hash="f", reward=model, scored_text="x", answers=(),
            dims=dims, scored_by=BY,
        )  # fmt: skip

    params = laptop.reward.model_copy(update={"model": "checklist"})
    signs = untrained_metrics(
        ["reward", "reward_written", "failed", "aligned", "dim_DD", "dim_VQ", "words"],
        [scored("dims", ["DD"]), scored("checklist", ["VQ"])],
        params,
    )
    assert signs == {"failed": -1, "aligned": 1, "dim_DD": 1}


def test_each_pair_of_arms_has_its_sentence_with_the_metrics_in_the_order_of_their_signs():
    rows = [
        number("aligned", -0.05, -0.08, -0.02), number("failed", 0.1, 0.05, 0.2), number("dim_DD", -2, -3, -1, "base"),
        number("reward", 1, 0.5, 1.5),
    ]  # fmt: skip
    assert name_losses(rows, SIGNS) == [
        "dpo against sft: failed rises by 10.0 points [5.0, 20.0], aligned falls by 5.0 points [2.0, 8.0], "
        "while the trained reward rises by 1",
        "dpo against base: dim_DD falls by 2 [1, 3]",
    ]


def test_the_interval_of_a_change_that_crosses_0_is_given_by_its_sizes_in_order():
    assert describe_change(number("dim_DD", 0.1, -0.3, 0.2)) == "dim_DD rises by 0.1 [0.2, 0.3]"


def test_less_is_better_of_some_metrics_and_more_of_others(laptop):
    signs = untrained_metrics(
        ["unsafe", "failed", "withheld", "refusal", "diversity", "aligned", "words"], [], laptop.reward
    )
    assert {name: sign for name, sign in signs.items() if name in ("unsafe", "failed", "diversity", "aligned")} == {
        "unsafe": -1, "failed": -1, "diversity": 1, "aligned": 1,
    }  # fmt: skip
    assert "words" not in signs


def test_a_pair_of_arms_in_which_nothing_got_worse_hides_none_behind_it():
    rows = [number("failed", -0.1, -0.2, -0.05, "base"), number("failed", 0.1, 0.05, 0.2)]
    assert name_losses(rows, SIGNS) == ["dpo against sft: failed rises by 10.0 points [5.0, 20.0]"]
