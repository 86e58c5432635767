import math

from vpo.planning.numbers import sum_known, without_nan


def test_a_sum_is_none_where_one_number_is_and_nan_where_one_is_nan():
    assert sum_known([1.0, 2.0]) == 3.0 and sum_known([]) == 0
    assert sum_known([1.0, None]) is None
    assert math.isnan(sum_known([1.0, math.nan]))


def test_json_has_none_where_nobody_knows():
    assert without_nan({"a": [math.nan, 1.0, "x"], "b": {"c": math.nan}, "d": 0}) == {
        "a": [None, 1.0, "x"], "b": {"c": None}, "d": 0,
    }  # fmt: skip
