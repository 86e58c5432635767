import pytest

from vpo.comparing.differences import Figure, subtract, summarize


def difference(before, after):
    first, later = (summarize(list(values.values()), 200, 0) for values in (before, after))
    return subtract(before, after, first, later, 200, 0)


def test_a_difference_is_over_the_queries_that_both_have():
    made = difference({"a": 0.0, "b": 5.0}, {"a": 1.0, "b": 6.0, "c": 99.0})
    assert (made.value, made.low, made.high, made.n, made.paired) == (1.0, 1.0, 1.0, 2, True)


def test_without_enough_of_them_the_means_are_subtracted():
    made = difference({"a": 1.0, "b": 1.0}, {"c": 3.0, "d": 3.0})
    assert (made.value, made.low, made.high, made.paired) == (2.0, 2.0, 2.0, False)


@pytest.mark.parametrize(
    ("metric", "low", "high", "flag"),
    [
        ("reward", 0.1, 0.3, "better"),
        ("reward", -0.3, -0.1, "WORSE"),
        ("unsafe", 0.1, 0.3, "WORSE"),
        ("unsafe", -0.3, -0.1, "better"),
        ("reward", -0.1, 0.3, ""),
        ("words", 0.1, 0.3, ""),
    ],
)
def test_a_flag_stands_where_the_interval_leaves_out_0(metric, low, high, flag):
    assert Figure((low + high) / 2, low, high, 9).flag(metric) == flag


def test_shares_are_shown_in_percent_and_no_query_as_a_dash():
    assert Figure(0.5, 0.25, 0.75, 9).show("aligned") == "50.0 [25.0, 75.0]"
    assert Figure(0.5, 0.25, 0.75, 9).show("reward", sign=True) == "+0.50 [+0.25, +0.75]"
    assert Figure(0, 0, 0, 0).show("reward") == "-"
