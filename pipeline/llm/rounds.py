"""Asks about the items that are still open and lets the others pass, in order: a chain of rounds is one stream."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pipeline.llm.replies import answered
from pipeline.runtime.paid_once import paid_once
from schemas.seams import Messages, Outcome, Teacher

I = TypeVar("I")  # noqa: E741
T = TypeVar("T")
MOST_WAITING = 4096  # ours: far more than a teacher has under way, little enough to hold


def next_round(
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

    def ask(opened: Iterator[I]) -> Iterator[I]:
        for item, outcome in answered(opened, messages, teacher, parse, template=template, sample=sample):
            yield take(item, outcome)

    most_waiting = max(MOST_WAITING, getattr(teacher, "most_held", 0))  # else a batch would end where this does
    for _, item in paid_once(items, lambda item: None if is_open(item) else item, ask, most_waiting):
        yield item
