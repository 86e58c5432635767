"""Keeps runs of a stage apart, and ends one whose dvc is gone."""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.runtime.io import DataError
from pipeline.runtime.store import private_folder


@contextlib.contextmanager
def hold_lock(out: Path) -> Iterator[None]:
    """Hold the lock of `out`, so that two runs of a stage never write the same file.

    Raises DataError when another run holds it.
    """
    import fcntl

    with (private_folder("locks") / hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:32]).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{out}: another run is writing it; wait for it or stop it") from None
        yield


def stop_with_parent(interval_s: float = 0.5, exit_now: Callable[[int], None] = os._exit) -> None:
    """End this process when the dvc that started it is gone (dvc leaves its stages running when it is killed)."""
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(interval_s)
        exit_now(1)

    threading.Thread(target=watch, daemon=True).start()
