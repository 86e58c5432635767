"""Merges what the pay-once store holds with what a backend makes, in input order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
A = TypeVar("A")


def paid_once(
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
    held = True

    def missing() -> Iterator[T]:
        nonlocal held
        for item in source:
            found = lookup(item)
            waiting.append((item, found))
            if found is None:
                yield item
            if most_waiting is not None and len(waiting) >= most_waiting:
                held = True
                return

    while held:
        held = False
        for answer in buy(missing()):
            while waiting[0][1] is not None:
                yield waiting.popleft()
            yield waiting.popleft()[0], answer
        while waiting:
            yield waiting.popleft()
