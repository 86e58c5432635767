"""Asks a teacher about rows, in order: about all of them, or in a round about those that are still open."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from pipeline.llm.model_text import read_reason
from pipeline.runtime.paid_once import buy_missing
from schemas.reasons import Reason
from schemas.seams import Messages, Outcome, Teacher

I = TypeVar("I")  # noqa: E741
T = TypeVar("T")
MOST_WAITING = 4096  # ours: far more than a teacher has under way, little enough to hold


def ask_teacher(
    rows: Iterable[I],
    messages: Callable[[I], Messages],
    teacher: Teacher,
    parse: Callable[[str], T],
    template: str | None = None,
    sample: int = 0,
) -> Iterator[tuple[I, Outcome[T]]]:
    """Yield each row with the teacher's Outcome for its messages, in order; the teacher may read rows ahead.

    `sample` tells several answers to the same messages apart. An answer that declines instead of answering has
    Reason.REFUSED, one whose signs are broken Reason.GARBLED, one without words Reason.EMPTY.
    """
    waiting: deque[I] = deque()

    def write_messages() -> Iterator[Messages]:
        for row in rows:
            waiting.append(row)
            yield messages(row)

    for outcome in teacher.map(write_messages(), parse, template=template, sample=sample):
        if outcome.reason is Reason.UNPARSED:
            outcome = replace(outcome, reason=read_reason(outcome.detail))
        yield waiting.popleft(), outcome
    if waiting:
        raise RuntimeError(f"the teacher left {len(waiting)} requests without an outcome")


def ask_round(
    items: Iterable[I],
    is_open: Callable[[I], bool],
    messages: Callable[[I], Messages],
    take: Callable[[I, Outcome[T]], I],
    teacher: Teacher,
    parse: Callable[[str], T],
    template: str | None = None,
    sample: int = 0,
) -> Iterator[I]:
    """Yield each item: as it came, or, where it is open, as `take` makes it of the teacher's Outcome.

    `items` may be a round itself: it is read while this round's questions are under way, so the rounds overlap.
    """

    def ask(open_items: Iterator[I]) -> Iterator[I]:
        for item, outcome in ask_teacher(open_items, messages, teacher, parse, template=template, sample=sample):
            yield take(item, outcome)

    most_waiting = max(MOST_WAITING, getattr(teacher, "most_held", 0))  # else a batch would end where this does
    for _, item in buy_missing(items, lambda item: None if is_open(item) else item, ask, most_waiting):
        yield item
