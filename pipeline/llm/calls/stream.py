"""Asks many at once and gives the results in input order: an event loop in a thread, fed by an ordinary generator."""

import asyncio
import atexit
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 16
"""results that wait for a slow one before them, a worker: one request that hangs does not stop the others"""
WAKE_S = 0.02
"""results are taken over in heaps of so many seconds"""


class _Slot(Generic[T, R]):
    """An item and, once it is finished, its result in a list of one, or its fault."""

    __slots__ = ("item", "result", "fault", "finished")

    def __init__(self, item: T):
        self.item: list[T] = [item]
        self.result: list[R] = []
        self.fault: BaseException | None = None
        self.finished = False


class Stream:
    """A loop that runs while somebody maps over it.

    `begin` and `end` are awaited in it first and last; `stop` is called in it when a map ends before its input, and
    `blocked` when a map has read all that it may hold (`most_held`) and waits. Such maps are in `blocked_maps`.
    """

    def __init__(
        self,
        workers: int,
        begin: Callable[[], Coroutine[Any, Any, None]],
        end: Callable[[], Coroutine[Any, Any, None]],
        stop: Callable[[], Any],
        blocked: Callable[[], Any] | None = None,
        most_held: int | None = None,
    ):
        self.workers, self.begin, self.end, self.stop, self.blocked = workers, begin, end, stop, blocked
        self.most_held = most_held or AHEAD * max(workers, 16)
        self.blocked_maps: set[object] = set()
        self.lock = threading.Lock()
        self.users = 0
        self.maps: weakref.WeakSet[Generator[Any, None, None]] = weakref.WeakSet()

    def close(self) -> None:
        """End all maps, as their own `close` does."""
        for results in list(self.maps):
            results.close()

    @contextmanager
    def run(self) -> Iterator[asyncio.AbstractEventLoop]:
        """Give the loop, which runs as long as one of those that entered here has not left."""
        with self.lock:
            if self.users == 0:
                self.loop = asyncio.new_event_loop()
                # a daemon, so that a second Ctrl-C leaves at once
                self.thread = threading.Thread(target=self.loop.run_forever, name="calls", daemon=True)
                self.thread.start()
                # a traceback can hold a map until the interpreter ends, and then its loop runs no more: it would hang
                atexit.register(self.close)
                try:
                    asyncio.run_coroutine_threadsafe(self.begin(), self.loop).result()
                except BaseException:
                    self._end_loop()
                    raise
            self.users += 1
        try:
            yield self.loop
        finally:
            with self.lock:
                self.users -= 1
                if self.users == 0:
                    try:
                        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result()
                    finally:
                        self._end_loop()

    def _end_loop(self) -> None:
        atexit.unregister(self.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def map(self, items: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> Iterator[R]:
        """Yield `ask(item)` for each item, in order; at most `most_held` are held. The first fault is raised.

        However the map ends, requests in flight are waited for, because they are paid for.
        """
        results = self._map(items, ask)
        self.maps.add(results)
        return results

    def _map(self, items: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> Generator[R, None, None]:
        with self.run() as loop:
            waiting: deque[_Slot[T, R]] = deque()  # in input order
            inbox: deque[_Slot[T, R]] = deque()  # not started yet
            wake: SimpleQueue[None] = SimpleQueue()
            woken: list[asyncio.TimerHandle] = []
            busy: set[asyncio.Task[None]] = set()  # kept here, since the loop holds its tasks weakly
            this_map = object()
            blocked = self.blocked
            sent = got = 0  # wakes

            async def work() -> None:
                while inbox:
                    slot = inbox.popleft()
                    try:
                        slot.result.append(await ask(slot.item.pop()))
                    except BaseException as fault:  # raised where the result is taken
                        slot.fault = fault
                    slot.finished = True
                    # not for each: two threads that hand the interpreter to and fro cost as much as the requests
                    if not woken and (not waiting or waiting[0] is slot or len(inbox) <= self.workers // 2):
                        woken.append(loop.call_later(WAKE_S, wake_up))
                        self.blocked_maps.discard(this_map)

            def wake_up() -> None:
                nonlocal sent
                woken.clear()
                sent += 1
                wake.put(None)

            def block(got: int) -> None:
                if blocked and got == sent and not woken:  # else the reader is awake by now, or will be
                    self.blocked_maps.add(this_map)
                    blocked()

            def start() -> None:
                for _ in range(min(self.workers - len(busy), len(inbox))):
                    task = loop.create_task(work())
                    busy.add(task)
                    task.add_done_callback(end_one)

            def end_one(task: asyncio.Task[None]) -> None:
                busy.discard(task)
                start()  # for what came in while it ended

            unread = iter(items)
            ended = False
            try:
                while True:
                    taken = 0
                    while not ended and len(inbox) < self.workers and len(waiting) < self.most_held:
                        try:
                            slot: _Slot[T, R] = _Slot(next(unread))
                        except StopIteration:
                            ended = True
                            break
                        waiting.append(slot)
                        inbox.append(slot)
                        taken += 1
                        if taken in (1, self.workers):
                            loop.call_soon_threadsafe(start)
                    if taken:
                        loop.call_soon_threadsafe(start)
                    while waiting and waiting[0].finished:
                        slot = waiting.popleft()
                        if slot.fault is not None:
                            raise slot.fault
                        yield slot.result.pop()
                    if waiting:
                        if blocked:
                            loop.call_soon_threadsafe(block, got)
                        wake.get()
                        got += 1
                    elif ended:
                        return
            finally:
                loop.call_soon_threadsafe(self.blocked_maps.discard, this_map)
                if inbox or any(not slot.finished for slot in waiting):
                    inbox.clear()
                    loop.call_soon_threadsafe(self.stop)
                    asyncio.run_coroutine_threadsafe(_wait_for_all(busy), loop).result()


async def _wait_for_all(tasks: set[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
