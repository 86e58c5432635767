import pytest
from rows import render_row

from pipeline.d_video import d_video

SCORES = {"v0": 1.0, "v1": 2.0, "v2": 2.4, "v3": 0.1}
ANSWERS = {
    "v0": {"q1": True, "q2": False},
    "v1": {"q1": True, "q2": True},
    "v2": {"q1": False, "q2": True},
    "v3": {"q1": False, "q2": False},
}


@pytest.fixture
def rule(laptop):
    def make(**changes):
        return laptop.dpo.model_copy(update=dict(reward_gap=0.5, dominance="none", pairs_per_query=None) | changes)

    return make


def pairs(params, scores=SCORES, answers=ANSWERS):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(4)]
    return list(d_video(rows, scores, answers, params))


def names(found):
    return [(pair.chosen, pair.rejected) for pair in found]


def test_first_takes_the_first_ordered_pair(rule):
    assert names(pairs(rule(video_pairs="first"))) == [("p0", "p3")]


def test_widest_takes_best_against_worst(rule):
    assert names(pairs(rule(video_pairs="widest"))) == [("p2", "p3")]


def test_adjacent_takes_neighbours_in_reward_that_differ_enough(rule):
    assert names(pairs(rule(video_pairs="adjacent"))) == [("p1", "p0"), ("p0", "p3")]


def test_all_takes_every_pair_that_differs_enough(rule):
    assert names(pairs(rule(video_pairs="all"))) == [
        ("p2", "p3"), ("p1", "p3"), ("p2", "p0"), ("p1", "p0"), ("p0", "p3")
    ]  # fmt: skip


def test_pairs_per_query_keeps_the_widest(rule):
    assert names(pairs(rule(video_pairs="all", pairs_per_query=2))) == [("p2", "p3"), ("p1", "p3")]


def test_dominance_asks_that_no_question_is_lost(rule):
    found = pairs(rule(video_pairs="all", dominance="question"))
    assert names(found) == [("p2", "p3"), ("p1", "p3"), ("p1", "p0"), ("p0", "p3")]
    assert found[1].decided_by == ("q1", "q2")


def test_the_first_dominating_pair_is_the_authors_rule(rule):
    assert names(pairs(rule(video_pairs="first", dominance="question"))) == [("p0", "p3")]


def test_a_gap_equal_to_the_threshold_is_not_enough(rule):
    (dropped,) = pairs(rule(video_pairs="all"), scores={"v0": 1.0, "v1": 1.5})
    assert (dropped.reason, dropped.detail) == ("no_pair", "4 clips, 2 scored, largest gap 0.500")


def test_a_clip_without_a_score_takes_no_part(rule):
    found = pairs(rule(video_pairs="all"), scores={"v0": 1.0, "v2": 2.4})
    assert names(found) == [("p2", "p0")]
    assert (found[0].score_chosen, found[0].score_rejected) == (2.4, 1.0)


def test_clips_of_two_queries_are_never_paired(rule):
    rows = [render_row("v0", query="x one"), render_row("v2", query="x two")]
    assert [item.reason for item in d_video(rows, SCORES, ANSWERS, rule(video_pairs="all"))] == ["no_pair"] * 2
