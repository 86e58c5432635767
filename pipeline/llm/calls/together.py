"""Does in one go what is asked for in one turn of the event loop: a transaction for each answer would cost the most."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """Await it with one item; `do` gets all items of this turn and returns as many results, or raises for all."""

    def __init__(self, do: Callable[[list[T]], Sequence[R]]):
        self.do = do
        self.waiting: list[tuple[T, asyncio.Future[R]]] = []

    def __call__(self, item: T) -> "asyncio.Future[R]":
        loop = asyncio.get_running_loop()
        if not self.waiting:
            loop.call_soon(self._flush)
        future: asyncio.Future[R] = loop.create_future()
        self.waiting.append((item, future))
        return future

    def _flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        try:
            results = self.do([item for item, _ in waiting])
        except Exception as fault:  # raised where each is awaited
            for _, future in waiting:
                future.set_exception(fault)
        else:
            for (_, future), result in zip(waiting, results, strict=True):
                future.set_result(result)
