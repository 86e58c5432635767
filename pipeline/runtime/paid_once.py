"""Merges what the pay-once store holds with what a backend makes, in input order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
A = TypeVar("A")


def buy_missing(
    items: Iterable[T],
    lookup: Callable[[T], A | None],
    buy: Callable[[Iterator[T]], Iterator[A]],
    most_waiting: int | None = None,
) -> Iterator[tuple[T, A]]:
    """Yield (item, answer) in order: from `lookup` where that has one, else from `buy`, a stream to a stream.

    The backend sees one stream of all that is missing, so it can work ahead as far as it likes. Where little is
    missing, `most_waiting` items end that stream: what is under way comes home, all go on, and another stream begins.
    """
    source = iter(items)
    waiting: deque[tuple[T, A | None]] = deque()
    has_more = True

    def missing() -> Iterator[T]:
        nonlocal has_more
        for item in source:
            answer = lookup(item)
            waiting.append((item, answer))
            if answer is None:
                yield item
            if most_waiting is not None and len(waiting) >= most_waiting:
                has_more = True
                return

    def answered_before() -> Iterator[tuple[T, A]]:
        while waiting and (answer := waiting[0][1]) is not None:
            yield waiting.popleft()[0], answer

    while has_more:
        has_more = False
        for bought in buy(missing()):
            yield from answered_before()
            yield waiting.popleft()[0], bought
        yield from answered_before()
