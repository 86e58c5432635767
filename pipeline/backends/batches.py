"""How many at once: a batch that does not fit into memory is halved, and what fitted is remembered (ours)."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from pipeline.runtime.io import DataError, write_json
from pipeline.runtime.speeds import name_device
from pipeline.runtime.store import home
from schemas.base import content_id

T = TypeVar("T")
R = TypeVar("R")


class BatchSize:
    """The largest batch of `who` on this device, at most `first`; kept in $VPO_HOME/batch_sizes between runs."""

    def __init__(self, first: int, *who: str):
        self.first = first
        self.path = home() / "batch_sizes" / f"{content_id(who, first, name_device())}.json"
        try:
            self.now = min(int(json.loads(self.path.read_text())["fits"]), first)
        except (OSError, ValueError, KeyError, TypeError):
            self.now = first

    def halve(self) -> None:
        self.now = max(1, self.now // 2)
        write_json(self.path, {"fits": self.now})


def run_batches(items: Iterable[T], size: BatchSize, run: Callable[[list[T]], list[R]]) -> Iterator[list[R]]:
    """Yield run(batch) for batches of `items` in order, a batch smaller after each that ran out of memory.

    Raises DataError when one item alone does not fit.
    """
    source = iter(items)
    while batch := list(islice(source, size.now)):
        while batch:
            some = batch[: size.now]
            try:
                done = run(some)
            except Exception as fault:
                if not out_of_memory(fault):
                    raise
                if len(some) == 1:
                    why = (str(fault).splitlines() or [type(fault).__name__])[0]
                    raise DataError(f"one item alone does not fit into memory: {why}") from None
                free_memory()
                size.halve()
                continue
            yield done
            batch = batch[len(some) :]


def out_of_memory(fault: BaseException) -> bool:
    """Tell whether a fault says that memory is too small, the GPU's or the machine's."""
    import torch

    return isinstance(fault, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(fault)


def free_memory() -> None:
    """Give back what nothing refers to any more, so that a smaller batch finds room."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
