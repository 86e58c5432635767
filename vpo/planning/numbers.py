"""Numbers that nobody knows: NaN while they are summed, None where they are shown."""

import math
from collections.abc import Sequence
from typing import Any


def without_nan(value: Any) -> Any:
    """Return a value with None for each number that is not known: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def sum_known(numbers: Sequence[float | None]) -> float | None:
    """Return the sum, None where one of the numbers is None."""
    there = [number for number in numbers if number is not None]
    return sum(there) if len(there) == len(numbers) else None


def sum_there(numbers: Sequence[float | None]) -> float:
    """Return the sum of the numbers that are known."""
    return sum(number for number in numbers if number is not None and not math.isnan(number))
