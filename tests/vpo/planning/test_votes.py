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
