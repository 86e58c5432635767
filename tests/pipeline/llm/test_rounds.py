from itertools import islice

import pytest

from pipeline.llm.replies import parse_prompt
from pipeline.llm.rounds import MOST_WAITING, ask_round, ask_teacher
from schemas.reasons import Reason
from tests.support.misbehaving import REFUSAL, Misbehaving
from tests.support.panel import Panel


def said(messages, sample):
    return f"{messages[0]['content']}/{sample}"


def rounds(items, teacher, n=1):
    """Ask about odd numbers, `n` times; an item is (number, answers)."""
    items = ((item, ()) for item in items)
    for sample in range(n):
        items = ask_round(
            items,
            is_open=lambda item: item[0] % 2 == 1,
            messages=lambda item: [{"role": "user", "content": str(item[0])}],
            take=lambda item, outcome: (item[0], (*item[1], outcome.value)),
            teacher=teacher,
            parse=str,
            sample=sample,
        )
    return items


def test_open_items_take_their_answers_and_the_others_pass_in_order():
    assert list(rounds(range(4), Panel(said), n=2)) == [(0, ()), (1, ("1/0", "1/1")), (2, ()), (3, ("3/0", "3/1"))]


def test_where_nothing_is_open_nobody_is_asked():
    teacher = Panel(said)
    assert list(rounds([0, 2], teacher)) == [(0, ()), (2, ())] and teacher.asked == []


def test_a_round_begins_before_the_one_ahead_of_it_ends():
    teacher = Panel(said, ahead=4)
    first = list(islice(rounds(range(1000), teacher, n=3), 4))
    assert [item for item, _ in first] == [0, 1, 2, 3]
    samples = [sample for _, sample in teacher.asked]
    assert samples.index(2) < len(samples) - 1 - samples[::-1].index(0)


def test_a_stream_in_which_nothing_is_open_flows():
    evens = iter(range(0, 8 * MOST_WAITING, 2))
    assert [item for item, _ in islice(rounds(evens, Panel(said, ahead=4), n=2), 3)] == [0, 2, 4]
    assert next(evens) <= 4 * MOST_WAITING


def test_rows_keep_their_outcomes_when_the_teacher_reads_ahead():
    class Eager(Misbehaving):
        def map(self, asked, parse, template=None, sample=0):
            yield from super().map(iter(list(asked)), parse, template, sample)

    teacher = Eager(*[f"[[start]]p{i}[[end]]" for i in range(5)])
    pairs = ask_teacher(range(5), lambda i: [{"role": "user", "content": str(i)}], teacher, parse_prompt)
    assert [(row, outcome.value) for row, outcome in pairs] == [(i, f"p{i}") for i in range(5)]


def test_an_answer_that_declines_is_a_refusal():
    ((_, outcome),) = ask_teacher([1], lambda _: [], Misbehaving(REFUSAL), parse_prompt)
    assert outcome.reason is Reason.REFUSED


def test_a_teacher_that_leaves_rows_out_is_an_error():
    with pytest.raises(RuntimeError, match="1 requests without an outcome"):
        list(ask_teacher([1, 2], lambda _: [], Misbehaving("[[start]]p[[end]]"), parse_prompt))
