"""How long clips, scores and training took on which device: $VPO_HOME/speeds, for `vpo plan` (ours).

Nothing of it is in an output, and what cannot be kept is no fault of the stage.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pipeline.runtime.io import write_json
from schemas.base import Provenance, content_id
from schemas.needs import Device
from schemas.seams import Outcome

T = TypeVar("T", bound=Outcome[Any])

LEAST = 3
"""units below which a run says too little to take the place of an earlier one"""
EVERY_S = 60.0
"""a killed run loses no more than what it measured in these seconds"""
CPU, HOST = "cpu", "host"


class Work(NamedTuple):
    """What is measured: `kind` is render, score or train, `settings` the hash of all that makes it slow or fast."""

    kind: str
    backend: str
    model: str
    revision: str
    settings: str


class Speed(NamedTuple):
    """Device-seconds that `units` took: clips, scores or tokens."""

    units: int
    seconds: float
    with_loading: bool
    device: str
    measured_at: str = ""

    @property
    def each(self) -> float:
        return self.seconds / self.units


KEYS = {"measured_at": "at"}
"""field of Speed -> its key in a stored file, where the two differ"""


def describe_work(kind: str, by: Provenance, settings: Any) -> Work:
    """Return the Work of a backend; `settings` are JSON values."""
    return Work(kind, by.backend, by.model, by.revision, content_id(settings))


def count_at_once(backend: object) -> int:
    """Return how many units a backend finishes together."""
    return getattr(backend, "at_once", 1)


def time_outcomes(
    outcomes: Iterable[T],
    work: Work,
    folder: Path,
    at_once: int = 1,
    workers: int | None = None,
    device: Device = "gpu",
) -> Iterator[T]:
    """Yield `outcomes` as they come, and keep in `folder` how long those with a value took.

    A backend finishes `at_once` together; `device` is where it works, as it declares. `workers` is how many devices
    outcomes come from: None is one where VPO_EXECUTOR is local; elsewhere it is not known, and nothing is kept.
    """
    if workers is None and os.environ.get("VPO_EXECUTOR", "local") in ("", "local"):
        workers = 1
    begun = kept = time.monotonic()
    arrivals: list[float] = []

    def keep() -> None:
        if workers and (measured := measure_arrivals(begun, arrivals, at_once * workers)):
            units, seconds, with_loading = measured
            keep_speed(folder, work, Speed(units, seconds * workers, with_loading, name_device_of(device)))

    try:
        for outcome in outcomes:
            if outcome.value is not None:
                arrivals.append(time.monotonic())
                if arrivals[-1] - kept > EVERY_S:
                    kept = arrivals[-1]
                    keep()
            yield outcome
    finally:
        keep()


def measure_arrivals(begun: float, arrivals: Sequence[float], at_once: int) -> tuple[int, float, bool] | None:
    """Return (units, seconds, whether loading is in them) of arrivals in seconds; None where none arrived.

    The first `at_once` come behind the loading of the model: the clock starts when the last of them is there. Where
    there are no others it starts with the work.
    """
    if len(arrivals) > at_once:
        return len(arrivals) - at_once, arrivals[-1] - arrivals[at_once - 1], False
    return (len(arrivals), arrivals[-1] - begun, True) if arrivals else None


def name_device_of(device: Device) -> str:
    """Return the name of what a backend works on here: a GPU's name, "cpu", or "host" for somebody else's."""
    return {"cpu": CPU, "host": HOST}.get(device) or name_device()


def name_device() -> str:
    """Return the name of this machine's GPU; "cpu" without one."""
    if "torch" not in sys.modules and find_spec("torch") is None:
        return CPU
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else CPU


def keep_speed(folder: Path, work: Work, speed: Speed) -> None:
    """Keep a speed; one of few units, or with the loading in it, gives way to what was there before."""
    path = folder / f"{content_id(work, speed.device)}.json"
    before = read_speed(path)
    if before and _rank(before) > _rank(speed):
        return
    values = speed._asdict() | {"measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    with contextlib.suppress(OSError):
        write_json(path, work._asdict() | {KEYS.get(name, name): value for name, value in values.items()})


def _rank(speed: Speed) -> tuple[bool, bool]:
    return not speed.with_loading, speed.units >= LEAST


def read_speed(path: Path) -> Speed | None:
    """Return what a file of `keep_speed` holds, None where it cannot be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        speed = Speed(**{name: values[KEYS.get(name, name)] for name in Speed._fields})
        return speed if speed.units > 0 and speed.seconds > 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_speeds(folder: Path, work: Work) -> list[Speed]:
    """Return what was measured of some work, one a device, the newest first."""
    speeds = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            values = json.loads(path.read_text(encoding="utf-8"))
            if all(values.get(name) == value for name, value in work._asdict().items()) and (speed := read_speed(path)):
                speeds.append(speed)
    return sorted(speeds, key=lambda speed: speed.measured_at, reverse=True)


def speeds_folder(root: Path) -> Path:
    """Return where the speeds of a store lie: beside it."""
    return root.with_name("speeds")
