"""Scores as they are compared."""

from fractions import Fraction

import pytest

from pipeline.scoring.exact import as_written, rank, subtract


def test_a_number_is_what_its_shortest_text_says():
    assert as_written(0.1) == Fraction(1, 10)
    assert as_written(0.9543901856422174) == Fraction("0.9543901856422174")
    assert as_written(3) == 3 and as_written(1e-7) == Fraction(1, 10**7)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="Invalid literal"):
        as_written(value)


def test_exact_scores_are_subtracted_exactly():
    assert 0.7 - 0.2 < 0.5 == 0.6 - 0.1  # floats tell equal gaps apart
    assert subtract(Fraction("0.7"), Fraction("0.2")) == Fraction(1, 2)
    assert subtract(Fraction("0.5000000000001"), Fraction()) > Fraction(1, 2)


def test_floats_are_subtracted_at_nine_digits():
    assert subtract(0.1 + 0.2, 0.3) == 0
    assert subtract(1.2, 0.7) == Fraction(1, 2)
    assert subtract(0.500000001, 0.0) > Fraction(1, 2)
    assert subtract(Fraction(1, 2), 0.1 + 0.2 - 0.3) == Fraction(1, 2)


def test_floats_that_differ_by_rounding_rank_alike():
    assert rank(0.1 + 0.2) == rank(0.3) and rank(0.300000001) > rank(0.3)
    assert rank(Fraction(1, 3)) == Fraction(1, 3)
