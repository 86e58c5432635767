"""Tests run in a forked process: which of them are red, whether the run broke off, and its CPU time."""

import contextlib
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MARKS = " and not gpu and not live and not nightly"
PLAIN, SLOW, GRAPH = "not graph and not slow", "slow and not graph", "graph"
MOST_CPU_S = {PLAIN: 45, SLOW: 120, GRAPH: 120}
"""of one test run; a fault that loops for ever ends by that"""
IDLE_S = 60
"""a run that sleeps for so long, but for a second of work, waits for ever"""
OURS = ("bench", "docs", "tests", "schemas", "pipeline", "train", "vpo")
WARM = ("pytest", "hypothesis", "numpy", "pydantic", "click", "ruamel.yaml", "jinja2", "regex", "torch", "transformers",
        "trl", "duckdb", "pyarrow.parquet", "PIL.Image")  # fmt: skip
"""Libraries that a process loads before it is forked for each fault."""


class Run(NamedTuple):
    """What a run of tests ended with: the tests or files that were red, how it broke off, and its CPU seconds."""

    reds: list[str]
    broke: str = ""
    """"" where pytest ended and said which tests were red, or that none was"""
    cpu_s: float = 0.0


class Reds:
    """A plugin of pytest that keeps the tests, or files, that fail."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed:
            self.names.append(report.nodeid)

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            self.names.append(report.nodeid)


def warm_up() -> None:
    """Load the libraries that most tests load, so that each fault's process has them from the start."""
    for name in WARM:
        with contextlib.suppress(ImportError):
            __import__(name)


def run_tests(folder: Path, tests: Sequence[str], marks: str, most: int = 1, most_cpu_s: int | None = None) -> Run:
    """Run tests in a forked process up to the `most`-th that fails, 0 for all; `most_cpu_s`: else MOST_CPU_S."""
    if not tests:
        return Run([])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.write(
                writing, json.dumps(_run_here(folder, tests, marks, most, most_cpu_s or MOST_CPU_S[marks])).encode()
            )
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    cpu_s = _wait(child)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    shutil.rmtree(f"{folder}-tests", ignore_errors=True)
    reds, code = json.loads(answer) if answer else ([], None)
    # 0: all green; 1: some are red; 2: a file does not import; 5: no test has these marks
    broke = "the run did not end" if code is None else "" if reds or code in (0, 5) else f"pytest ended with {code}"
    return Run(reds, broke, cpu_s)


def _run_here(folder: Path, tests: Sequence[str], marks: str, most: int, most_cpu_s: int) -> tuple[list[str], int]:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (most_cpu_s, most_cpu_s))
    sink = os.open(os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.chdir(folder)
    os.environ |= {
        "PYTHONPATH": str(folder), "VPO_HOME": f"{folder}-home", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "DS_ACCELERATOR": "cpu",
    }  # fmt: skip
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in [one for one in sys.modules if one.partition(".")[0] in OURS]:
        del sys.modules[name]
    # what a test spawns would run this program once more
    sys.modules["__main__"] = types.ModuleType("__main__")
    import pytest

    reds = Reds()
    words = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}-tests", "-m", marks + MARKS, *tests]
    code = int(pytest.main([f"--maxfail={most}", *words], plugins=[reds]))
    return reds.names, code


def _wait(child: int) -> float:
    """Wait for a child, end it where it waits for ever, end what it left running; return its CPU seconds."""
    before, watched_s = 0, time.monotonic()
    for look in itertools.count():
        ended, _, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
        if look % 40:
            continue
        worked, runs = look_at_group(child)
        if runs or worked - before > os.sysconf("SC_CLK_TCK"):  # one that a busy machine keeps from its turn waits too
            before, watched_s = worked, time.monotonic()
        elif time.monotonic() - watched_s > IDLE_S:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # servers that a test died above
    return usage.ru_utime + usage.ru_stime


def look_at_group(group: int) -> tuple[int, bool]:
    """Return the CPU time so far of the processes of a group, in ticks of the clock, and whether one of them runs."""
    ticks, runs = 0, False
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, ValueError):
            state, _, its_group, *fields = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
            if int(its_group) == group:
                ticks, runs = ticks + int(fields[8]) + int(fields[9]), runs or state in "RD"
    return ticks, runs
