import pytest

from pipeline.critique import is_open
from vpo.planning.votes import expected_votes, verdict


def test_the_votes_behind_a_first_no_follow_the_rule_of_the_stage():
    assert expected_votes(1, 0.8, is_open) == 0
    assert expected_votes(3, 1.0, is_open) == 1
    assert expected_votes(3, 0.8, is_open) == pytest.approx(1.2)
    assert expected_votes(5, 1.0, is_open) == 2


def test_a_supposed_verdict_is_one_that_refine_can_read():
    assert verdict(aligned=True).violated == () and verdict(aligned=False).violated


def test_five_votes_stop_when_the_rest_cannot_change_the_verdict():
    # behind a first No two more of it or three of Yes: 3 1/8 of fair coins
    assert expected_votes(5, 0.5, is_open) == 3.125
    assert expected_votes(3, 0.0, is_open) == 2 and expected_votes(3, 0.5, is_open) == 1.5
