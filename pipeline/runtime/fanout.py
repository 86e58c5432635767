"""Runs a seam's backend over a stream, here or on many workers, and keeps each outcome the moment it is there.

Where it runs is the environment's to say (VPO_EXECUTOR), never a param's: the rows are the same.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from typing import Protocol, TypeVar

from pipeline.runtime.io import DataError
from schemas.seams import Outcome

T = TypeVar("T")
Q = TypeVar("Q", contravariant=True)
V = TypeVar("V")
R = TypeVar("R")


class Backend(Protocol[Q, V]):
    """One that works on several items together has an `at_once`: int, so that no task on Ray is smaller."""

    def map(self, requests: Iterable[Q], /) -> Iterator[Outcome[V]]:
        """Yield one Outcome for each request, in order."""
        ...


def fan_out(
    make: Callable[[], Backend[Q, V]],
    items: Iterable[T],
    request: Callable[[T], Q],
    keep: Callable[[T, Outcome[V]], R],
    spreads: bool = True,
) -> Iterator[R]:
    """Yield keep(item, outcome) for each item, in order.

    `make` builds the backend where it works, `request` is what it is asked for an item. `keep` is called in this
    process alone, as soon as an outcome is there, so that what is finished survives what comes after. A backend that
    does not spread stays here: others do its work. Raises DataError for an unknown executor.
    """
    executor = os.environ.get("VPO_EXECUTOR") or "local"
    if executor not in EXECUTORS:
        raise DataError(f"VPO_EXECUTOR={executor}: must be {' or '.join(EXECUTORS)}")
    yield from EXECUTORS[executor if spreads else "local"](make, items, request, keep)


def _run_here(
    make: Callable[[], Backend[Q, V]],
    items: Iterable[T],
    request: Callable[[T], Q],
    keep: Callable[[T, Outcome[V]], R],
) -> Iterator[R]:
    to_send, to_keep = tee(items)
    outcomes = make().map(request(item) for item in to_send)
    for item, outcome in zip(to_keep, outcomes, strict=True):
        yield keep(item, outcome)


def _run_on_ray(
    make: Callable[[], Backend[Q, V]],
    items: Iterable[T],
    request: Callable[[T], Q],
    keep: Callable[[T, Outcome[V]], R],
) -> Iterator[R]:
    from pipeline.runtime.fanout_ray import fan_out_on_ray

    return fan_out_on_ray(make, items, request, keep)


EXECUTORS = {"local": _run_here, "ray": _run_on_ray}
