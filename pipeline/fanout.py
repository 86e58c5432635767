"""Runs a seam's backend over a stream, here or on many workers, and keeps each outcome the moment it is there.

Where it runs is the environment's to say (VPO_EXECUTOR), never a param's: the rows are the same.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from typing import Protocol, TypeVar

from pipeline.backends import Outcome

T = TypeVar("T")
Q = TypeVar("Q")
V = TypeVar("V")
R = TypeVar("R")


class Backend(Protocol[Q, V]):
    def map(self, asked: Iterable[Q]) -> Iterator[Outcome[V]]:
        """Yield one Outcome for each of `asked`, in order."""
        ...


def fan_out(
    make: Callable[[], Backend[Q, V]],
    items: Iterable[T],
    request: Callable[[T], Q],
    keep: Callable[[T, Outcome[V]], R],
) -> Iterator[R]:
    """Yield keep(item, outcome) for each item, in order.

    `make` builds the backend where it works, `request` is what it is asked for an item. `keep` is called in this
    process alone, as soon as an outcome is there, so that what is finished survives what comes after.
    """
    asked, named = tee(items)
    outcomes = make().map(request(item) for item in asked)
    for item, outcome in zip(named, outcomes, strict=True):
        yield keep(item, outcome)
