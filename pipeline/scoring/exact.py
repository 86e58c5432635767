"""Scores as they are compared: exact where a formula is, so that `>` means greater on every machine and Python.

Sums of floats round by their order, and from Python 3.12 on `sum` rounds otherwise: whether a gap of just 0.5 passes
would be chance. Columns are doubles.
"""

from fractions import Fraction

Score = Fraction | float
"""A Fraction where the formula is exact; a float where it is not (z-scores: a deviation is a root)"""

DIGITS = 9
"""Two floats are compared at so many digits behind the point."""


def as_written(value: float) -> Fraction:
    """Return a number as its shortest text says it: 0.1 is a tenth. Raises ValueError for one that is not finite."""
    return Fraction(repr(float(value)))


def subtract(one: Score, other: Score) -> Fraction:
    """Return one - other: exact of two exact scores, else at `DIGITS` digits."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one - other
    return round(Fraction(one) - Fraction(other), DIGITS)


def rank(score: Score) -> Fraction:
    """Return what scores are sorted by; floats that differ by rounding alone are equal."""
    return score if isinstance(score, Fraction) else round(as_written(score), DIGITS)
