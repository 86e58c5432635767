"""fan_out on Ray: one worker a GPU, or a CPU where there is none; the driver keeps what they finish as it comes.

Workers are plain actors, each with a backend of its own, made once. They write nothing: one that is lost takes no
more with it than what it was making (ours). A project must lie at the same path on all machines.
"""

import logging
import math
import os
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.runtime.io import DataError
from schemas.reasons import Reason
from schemas.seams import Outcome

IN_FLIGHT = 2  # a task that runs and one that waits behind it, so that no worker waits for the driver
ITEMS = 4  # a task, where the backend does not say how many it works on at once
SLACK = 4  # tasks in flight over, that may be finished while one item in front of them is not
DEATHS = 3  # in a row: then it is the items and not bad luck
PASSED_ON = ("VPO_HOME", "XDG_CACHE_HOME", "OMP_NUM_THREADS", "HF_HOME", "HF_HUB_OFFLINE")


class Fault(NamedTuple):
    """An exception in a worker; Ray would wrap it in its own traceback."""

    text: str
    ours: bool

    def to_exception(self) -> Exception:
        return DataError(self.text) if self.ours else RuntimeError(f"in a worker on Ray:\n{self.text}")


def wrap_fault(fault: Exception) -> Fault:
    """Return an exception as what can be sent to the driver."""
    if isinstance(fault, DataError):
        return Fault(fault.message, ours=True)
    return Fault("".join(traceback.format_exception(fault)), ours=False)


class Worker:
    """What runs in an actor."""

    def start(self, make: Callable, folder: str, source: str) -> int | Fault:
        """Make the backend; return how many items a task should have."""
        try:
            if not Path(folder).is_dir() or source != __file__:
                missing = folder if source == __file__ else source
                raise DataError(f"{missing}: not on every machine of the Ray cluster; a shared filesystem would do")
            os.chdir(folder)
            self.backend = make()
            return max(1, getattr(self.backend, "at_once", ITEMS))
        except Exception as fault:
            return wrap_fault(fault)

    def map(self, requests: list[Any]) -> Iterator[Outcome | Fault]:
        try:
            for _, outcome in zip(requests, self.backend.map(requests), strict=True):
                yield outcome
        except Exception as fault:
            yield wrap_fault(fault)


@dataclass
class Task:
    """Items with their places in the input, without those that are kept already.

    `deaths`: how many workers died on them since the last one of them was kept.
    """

    items: list[tuple[int, Any]]
    deaths: int = 0


@dataclass(eq=False)
class Hand:
    """A worker as the driver sees it: `items` a task, 0 until it has started; its tasks with their streams."""

    actor: Any
    started: Any
    items: int = 0
    running: deque[tuple[Task, Any]] = field(default_factory=deque)

    @property
    def awaited(self) -> Any:
        """What to wait for, None when it has nothing to do."""
        if not self.items:
            return self.started
        return self.running[0][1] if self.running else None


def fan_out_on_ray(make: Callable, items: Iterable, request: Callable, keep: Callable) -> Iterator:
    """Yield keep(item, outcome) for each item, in order; `keep` is called as outcomes arrive, in any order.

    An item that kills its worker again and again is kept as Reason.FAILED. Raises DataError as a worker raised it,
    and for a Ray that cannot be used; RuntimeError with a worker's traceback for anything else.
    """
    source = iter(items)
    if first := list(islice(source, 1)):
        most = read_most_workers()
        ray = connect()
        crew = Crew(ray, most, make, chain(first, source), request, keep)
        try:
            yield from crew.results()
        finally:
            for hand in crew.hands:
                ray.kill(hand.actor)


class Crew:
    """The workers of one fan_out and what they are doing; all of it in the driver's one thread."""

    def __init__(self, ray: Any, most: float, make: Callable, items: Iterator, request: Callable, keep: Callable):
        self.ray, self.request, self.keep = ray, request, keep
        size, places = count_places(ray)
        ahead = list(islice(items, int(min(places, most))))  # a worker without an item would be started in vain
        self.source = enumerate(chain(ahead, items))
        self.read = self.shown = self.deaths_at_start = 0
        self.ended = False
        self.again: deque[Task] = deque()
        self.kept: dict[int, Any] = {}
        actor = ray.remote(Worker).options(runtime_env={"env_vars": environment()}, **size)

        def hire() -> Hand:
            handle = actor.remote()
            return Hand(handle, handle.start.remote(make, os.getcwd(), __file__))

        self.hire = hire
        self.hands = [hire() for _ in ahead]

    def results(self) -> Iterator:
        while True:
            self.hand_out()
            while self.shown in self.kept:
                yield self.kept.pop(self.shown)
                self.shown += 1
            if self.ended and self.shown == self.read:
                return
            self.collect()

    def hand_out(self) -> None:
        """Give tasks to those who have started: to each a first one before anybody gets a second."""
        for depth in range(IN_FLIGHT):
            for hand in self.hands:
                if hand.items and len(hand.running) == depth:
                    task = self.again.popleft() if self.again else self.next_task(hand.items)
                    if task is None:
                        return
                    requests = [self.request(item) for _, item in task.items]
                    # a stream, so that what is finished is kept before the rest of its task is
                    hand.running.append((task, hand.actor.map.options(num_returns="streaming").remote(requests)))

    def next_task(self, n: int) -> Task | None:
        if self.read - self.shown + n > n * IN_FLIGHT * SLACK * len(self.hands):
            return None
        items = list(islice(self.source, n))
        self.read += len(items)
        self.ended = self.ended or len(items) < n
        return Task(items) if items else None

    def collect(self) -> None:
        """Wait for news of the workers and keep them."""
        awaited = [(hand, ref) for hand in self.hands if (ref := hand.awaited) is not None]
        refs = [ref for _, ref in awaited]
        self.ray.wait(refs, num_returns=1)
        ready, _ = self.ray.wait(refs, num_returns=len(refs), timeout=0)  # all there are, or the first would win always
        for hand, ref in awaited:
            if any(ref is one for one in ready):
                self.hear(hand)

    def hear(self, hand: Hand) -> None:
        gone = self.ray.exceptions
        try:
            news = self.ray.get(hand.started if not hand.items else next(hand.running[0][1]))
        except (
            gone.RayActorError, gone.WorkerCrashedError, gone.OutOfMemoryError, gone.NodeDiedError, gone.ObjectLostError
        ) as fault:  # fmt: skip
            self.replace(hand, fault)
            return
        if isinstance(news, Fault):
            raise news.to_exception()
        if not hand.items:
            hand.items, self.deaths_at_start = news, 0
            return
        task, _ = hand.running[0]
        place, item = task.items.pop(0)
        task.deaths = 0
        self.kept[place] = self.keep(item, news)
        if not task.items:
            hand.running.popleft()

    def replace(self, hand: Hand, fault: Exception) -> None:
        """Put another worker in the place of a dead one and give its tasks again; the first was under way."""
        self.ray.kill(hand.actor)
        self.deaths_at_start += not hand.items
        if hand.items or self.deaths_at_start < DEATHS:
            self.hands[self.hands.index(hand)] = self.hire()
        else:
            self.hands.remove(hand)  # one place may be broken and the others not
            if not self.hands:
                raise DataError(f"no worker lives on Ray, {DEATHS} in a row died as they started: {fault}")
        if not hand.running:
            return
        killed_by, *behind = (task for task, _ in hand.running)
        self.again.extend(behind)
        killed_by.deaths += 1
        if killed_by.deaths < DEATHS:
            self.again.appendleft(killed_by)
        elif len(killed_by.items) > 1:
            self.again.extendleft(Task([one]) for one in reversed(killed_by.items))
        else:
            ((place, item),) = killed_by.items
            detail = f"it killed its worker {DEATHS} times in a row"
            self.kept[place] = self.keep(item, Outcome(reason=Reason.FAILED, detail=detail))


def connect() -> Any:
    """Return Ray, connected to $RAY_ADDRESS or to a cluster on this machine that ends with this process."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # its first start on a busy machine takes a minute
    try:
        import ray
    except ImportError:
        raise DataError("VPO_EXECUTOR=ray needs Ray: pip install 'vpo[ray]'") from None
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise DataError(f"RAY_ADDRESS={address}: run the stage on a machine of the cluster and say host:port")
    if not is_reachable(address):
        raise DataError(f"RAY_ADDRESS={address}: nobody listens there; `ray start --head` tells its address")
    # Ray says at ERROR what it can mend, and shows all that its workers print
    kind = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **kind)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as fault:
        raise DataError(f"Ray at RAY_ADDRESS={address}: {fault}") from None
    return ray


def is_reachable(address: str) -> bool:
    """Tell whether somebody listens at host:port; Ray itself would try for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return True  # "auto", or what Ray will refuse
    try:
        socket.create_connection((host, int(port)), timeout=20).close()
    except OSError:
        return False
    return True


def read_most_workers() -> float:
    """Return $VPO_WORKERS, infinity for "all". Raises DataError."""
    text = os.environ.get("VPO_WORKERS") or "all"
    if text == "all":
        return math.inf
    if not text.isdecimal() or int(text) < 1:
        raise DataError(f"VPO_WORKERS={text}: must be a whole number from 1 on, or unset for all that find room")
    return int(text)


def count_places(ray: Any) -> tuple[dict[str, int], int]:
    """Return what each worker needs and for how many there is room in the cluster.

    All its room and not what is free now: who finds none yet waits for it, and gets no task before.
    """
    total = ray.cluster_resources()
    if total.get("GPU", 0) >= 1:
        return {"num_gpus": 1, "num_cpus": 0}, int(total["GPU"])
    return {"num_cpus": 1}, max(1, int(total.get("CPU", 0)))


def environment() -> dict[str, str]:
    """Return what a worker must have of this environment: where things are kept, and the driver's own code.

    No secrets: Ray shows these to all who can reach the cluster.
    """
    installed = (sys.prefix, sys.base_prefix)
    code = [os.path.abspath(folder) for folder in sys.path if not folder.startswith(installed)]
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return passed_on | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(code))}
