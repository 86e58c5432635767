import pytest

from pipeline.d_video import make_pair
from pipeline.runtime.io import DataError
from pipeline.scoring.replication import find_replicates, wilson
from tests.support.rows import render_row


def clips(values):
    """Rows and scores from query -> prompt -> (score under the first seed, under the second)."""
    rows, score = [], {}
    for query, prompts in values.items():
        for at, (prompt, seconds) in enumerate(prompts.items()):
            for replicate, value in enumerate(seconds):
                row = render_row(f"{query}{prompt}{replicate}", query=query, prompt=prompt, sample=at)
                rows.append(row.model_copy(update={"replicate": replicate}))
                score[row.video_id] = value
    return rows, score


def paired(rows, score, laptop, better, worse):
    """The pair of two rows of the first seed."""
    from pipeline.d_video import Scored

    one, other = (Scored(rows[at], score[rows[at].video_id]) for at in (better, worse))
    return make_pair(one, other, laptop.dpo)


def test_pairs_are_counted_that_keep_their_sign_under_another_seed(laptop):
    rows, score = clips({"x": {"a": (2.0, 1.0), "b": (1.0, 0.5), "c": (0.0, 3.0)}, "y": {"a": (1.0,), "b": (0.0,)}})
    twice = find_replicates(rows, score)
    pairs = [paired(rows, score, laptop, 0, 2), paired(rows, score, laptop, 0, 4), paired(rows, score, laptop, 6, 7)]
    found = twice.count_kept(pairs)
    assert (found["pairs"], found["kept"], found["share"]) == (2, 1, 0.5)
    assert found["low"] < 0.5 < found["high"]


def test_a_prompt_with_one_clip_scored_says_nothing(laptop):
    rows, score = clips({"x": {"a": (2.0, 1.0), "b": (1.0, 0.5)}})
    del score["xb1"]
    twice = find_replicates(rows, score)
    assert twice.count_kept([paired(rows, score, laptop, 0, 2)]) == {"pairs": 0, "kept": 0}


def test_a_tie_under_the_second_seed_keeps_no_sign(laptop):
    rows, score = clips({"x": {"a": (2.0, 0.1 + 0.2), "b": (1.0, 0.3), "c": (0.0, 0.3)}})
    pairs = [paired(rows, score, laptop, 0, 2), paired(rows, score, laptop, 2, 4)]
    assert find_replicates(rows, score).count_kept(pairs)["kept"] == 0


def test_noise_is_the_deviation_that_a_seed_gives_a_difference():
    # ten queries of two prompts, differences 1 and then 1 + 2d or 1 - 2d: variance of one draw is 2 d^2
    values = {f"q{at}": {"a": (1.0, 1.0 + (0.6 if at % 2 else -0.6)), "b": (0.0, 0.0)} for at in range(10)}
    assert find_replicates(*clips(values)).noise() == pytest.approx(0.6 / 2**0.5)


def test_too_few_pairs_tell_no_noise():
    with pytest.raises(
        DataError, match="1 pairs of prompts were rendered twice, 10 are needed: raise reward.replicate"
    ):
        find_replicates(*clips({"x": {"a": (1.0, 2.0), "b": (0.0, 0.0)}})).noise()


def test_wilson_is_the_textbook_interval():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 5)[0] == 0 and wilson(5, 5)[1] == 1
