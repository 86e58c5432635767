import numpy as np
import pytest

from pipeline.evaluation.statistics import distinct_2, mean_with_interval


def test_equal_values_have_an_interval_without_width():
    assert mean_with_interval([0.5] * 20, 200, seed=0) == (0.5, 0.5, 0.5)


def test_no_values_have_no_mean():
    with pytest.raises(ValueError, match="no values"):
        mean_with_interval([], 200, seed=0)


def test_the_interval_is_that_of_the_normal_theory_on_many_values():
    values = np.random.default_rng(3).normal(2.0, 1.0, 400)
    mean, low, high = mean_with_interval(values, 4000, seed=0)
    half = 1.96 * values.std() / 20
    assert mean == pytest.approx(values.mean(), abs=1e-6)
    assert low == pytest.approx(mean - half, abs=0.01)
    assert high == pytest.approx(mean + half, abs=0.01)


def test_a_small_interval_is_the_one_of_earlier_versions():
    """Pinned: every published interval moves with the draws, their seed and the percentiles."""
    assert mean_with_interval([0.0, 0.1, 0.4, 1.0], 1000, seed=7) == (0.375, 0.025, 0.775)


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    values = list(range(30))
    assert mean_with_interval(values, 300, seed=1) == mean_with_interval(values, 300, seed=1)
    assert mean_with_interval(values, 300, seed=1) != mean_with_interval(values, 300, seed=2)


def test_many_values_are_resampled_in_parts_without_a_change_of_their_number():
    mean, low, high = mean_with_interval(np.arange(30_000), 101, seed=0)
    assert low < mean < high


def test_distinct_2_counts_a_repeated_bigram_less():
    assert distinct_2(["a b c", "a b d"]) == [0.75, 0.75]
    assert distinct_2(["night night night night"]) == [pytest.approx(1 / 3)]


def test_a_text_without_bigrams_is_wholly_distinct():
    assert distinct_2(["dog", ""]) == [1.0, 1.0]
