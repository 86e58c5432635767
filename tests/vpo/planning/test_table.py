import pytest

from vpo.planning.table import cell, collect_notes, describe_money, significant

TOTAL = {
    "paid": True,
    "seam": "teacher", "backend": "openai", "model": "m", "batch": False, "calls": 9, "in_store": 1, "to_buy": 8,
    "usd": 0.5, "uncounted": [], "budget_usd": None, "left_usd": None, "enough": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "8 calls to buy, $0.50"),
        ({"batch": True}, "8 calls to buy, $0.50 at batch prices"),
        ({"to_buy": 0}, "nothing to buy, all 9 calls are in the store"),
        ({"calls": 0, "to_buy": 0}, "nothing to buy, no stage asks anything"),
        (
            {"calls": None, "to_buy": None, "usd": None, "uncounted": ["x"]},
            "unknown: no plan can count what x will ask",
        ),
        (
            {"backend": "offline", "paid": False, "calls": None},
            "nothing is bought; the offline backend answers what is asked for nothing",
        ),
        (
            {"budget_usd": 1, "left_usd": 0.25, "enough": False},
            "8 calls to buy, $0.50; $0.25 of the budget of $1 are left: NOT ENOUGH",
        ),
    ],
)
def test_money_is_one_line(change, says):
    assert describe_money(TOTAL | change) == f"teacher m: {says}"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("rows", None, "?"),
        ("usd", None, "unknown"),
        ("usd", 1, "1.00"),
        ("calls", 1234.4, "1,234"),
        ("model", "m", "m"),
    ],
)
def test_what_nobody_knows_is_a_question_mark_and_never_0(name, value, shown):
    assert cell(name, value) == shown


def test_numbers_are_written_as_people_read_them():
    assert [significant(value) for value in (0, 0.0123, 12345)] == ["0", "0.012", "12,345"]


def test_a_note_stands_once_with_its_stages():
    rows = [{"stage": name, "rows_from": "a file", "notes": ["assumed"]} for name in ("a", "b")]
    assert collect_notes(rows) == {"rows: a file": ["a", "b"], "assumed": ["a", "b"]}
