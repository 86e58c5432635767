import pytest
from hypothesis import given, settings

from tests.support.sim import ROW, oracle_sim, sim


@given(a=ROW, b=ROW)
@settings(max_examples=300, deadline=None)
def test_sim_is_what_sacrebleu_says_in_the_better_direction(a, b):
    assert sim(a, b) == pytest.approx(oracle_sim(a, b), abs=1e-9)
    assert sim(a, b) == sim(b, a)


@given(a=ROW)
def test_a_query_is_wholly_similar_to_itself_however_short(a):
    assert sim(a, a) == pytest.approx(1.0)


def test_a_text_is_not_similar_to_one_without_a_word_in_common():
    assert sim(("a", "b"), ("c", "d")) == 0.0
    assert sim((), ("a",)) == 0.0
