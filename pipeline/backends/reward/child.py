"""A child process that is spoken to in JSON lines: nothing it does, or leaves undone, holds up the parent."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from pipeline.runtime.io import DataError

LONGEST_LINE = 1 << 20
SHOWN = 12
END_S, LAST_WORDS_S, LOOKS = 10.0, 5.0, 100
OURS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")
"""Variables of this environment that would lead another one astray."""


class Stopped(Exception):
    """The child died or took too long; says how, with its last lines."""


class OutOfStep(Exception):
    """The child said something that is no answer to what was asked."""


class Child:
    """Threads read and write, so that a child that does not read, or talks without end, blocks nobody.

    Pipes are unbuffered: a thread that waits in a buffered one makes Python abort when the process ends by a fault.
    """

    def __init__(self, words: Sequence[str]):
        # code from the Hub runs there: it has no use for what pays the teacher
        environment = {n: value for n, value in os.environ.items() if n not in OURS and not n.endswith("_API_KEY")}
        try:
            self.process = subprocess.Popen(
                list(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as fault:
            raise DataError(f"worker {words[0]} cannot be started: {fault}") from None
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        assert stdin and stdout and stderr, "all three are pipes"
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.to_say: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.lines: queue.Queue[bytes | None] = queue.Queue(maxsize=64)
        self.errors: deque[str] = deque(maxlen=SHOWN)
        self.answered: set[str] = set()
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._write, self._read, self._listen)]
        for thread in self.threads:
            thread.start()

    def say(self, line: dict) -> None:
        self.to_say.put(json.dumps(line).encode() + b"\n")

    def answer(self, name: str, timeout_s: float) -> dict:
        """Return the next line, which must be about `name`. Raises Stopped, OutOfStep."""
        answer = self.line(timeout_s)
        about = answer.get("id") if isinstance(answer, dict) else None
        if about == name:
            self.answered.add(name)
            return answer
        if isinstance(about, str) and about in self.answered:
            raise Stopped(f"it answered clip {about} twice")
        raise OutOfStep(f"the worker answered {json.dumps(answer)[:200]}, which is not about clip {name}")

    def line(self, timeout_s: float) -> Any:
        """Return the next line's value; text that is no JSON comes as a string. Raises Stopped."""
        try:
            raw = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            raise Stopped(f"no answer within {timeout_s:g} seconds; its last lines: {self.last_lines()}") from None
        if raw is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_S)
            self.threads[-1].join(LAST_WORDS_S)  # what it wrote last is on its way
            raise Stopped(f"it ended with {self.process.poll()}; its last lines: {self.last_lines()}")
        try:
            return json.loads(raw, parse_int=float, object_pairs_hook=once)
        except (ValueError, RecursionError):
            return raw[:200].decode(errors="replace")

    def last_lines(self) -> str:
        return " | ".join(self.errors) or "none"

    def end(self) -> None:
        """Close the child's input, which ends a worker, and wait a little before it is killed."""
        self.to_say.put(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)
        self.kill()

    def kill(self) -> None:
        """End the child and what it started."""
        self.to_say.put(None)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for _ in range(LOOKS):
            if not any(thread.is_alive() for thread in self.threads):
                break
            with contextlib.suppress(queue.Empty):  # a reader may wait for room
                self.lines.get(timeout=0.05)
        else:
            return  # what the child started lives on elsewhere and holds the pipes
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (line := self.to_say.get()) is not None:
                while line:
                    line = line[self.stdin.write(line) :]
            self.stdin.close()

    def _read(self) -> None:
        while line := self.stdout.readline(LONGEST_LINE):
            self.lines.put(line)
        self.lines.put(None)

    def _listen(self) -> None:
        while line := self.stderr.readline(LONGEST_LINE):
            if text := line.decode(errors="replace").strip():
                self.errors.append(text[-300:])


def once(pairs: list[tuple]) -> dict:
    """Return the object, refusing names that stand in it twice: two answers to one question are none."""
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("a name twice")
    return named
