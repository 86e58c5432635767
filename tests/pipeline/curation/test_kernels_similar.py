import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation import kernels_similar
from pipeline.curation.bleu import GUARD, ORDER
from tests.support.sim import ROW, oracle_sim, shared, sim


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


@given(a=ROW, b=ROW, threshold=st.floats(0.05, 1))
@settings(max_examples=300, deadline=None)
def test_a_similar_pair_shares_at_least_what_the_bound_says(a, b, threshold):
    if oracle_sim(a, b) >= threshold - GUARD:
        for n in range(1, ORDER + 1):
            assert shared(n, a, b) >= kernels_similar.find_need(n, len(a), len(b), threshold)
