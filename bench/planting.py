"""A copy of the project in which one fault at a time is planted, and what its tests say of each."""

import contextlib
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.faults import ROOT, Key, Planted, graph_tests
from bench.forked_tests import GRAPH, MOST_CPU_S, PLAIN, SLOW, Run, run_tests
from bench.project import copy_files


class Outcome(NamedTuple):
    """What the tests say of a fault: the one that turned red, None where none did; or why that cannot be judged."""

    red: str | None
    unjudged: str = ""


def copy(root: Path, folder: Path) -> None:
    """Copy the project at `root` as it is, and make it a repository of its own."""
    copy_files(folder, root)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


class Copy:
    """A copy of the project in which one fault at a time is planted."""

    def __init__(self, root: Path, folder: Path):
        self.folder, self.seconds, self.stamp = folder, 0.0, itertools.count(int(time.time()))
        copy(root, folder)

    def run(self, tests: Sequence[str], marks: str, most: int = 1, most_cpu_s: int | None = None) -> Run:
        """Run tests, as run_tests does."""
        run = run_tests(self.folder, tests, marks, most, most_cpu_s)
        self.seconds += run.cpu_s
        return run

    def judge(self, fault: Planted, marks: str, tests: Sequence[str]) -> Outcome:
        """Return what tests say of a fault.

        A run that breaks off says nothing by itself: the machine may have been busy, or short of memory. It counts
        where the same run ends without the fault, and does not end well with it a second time.
        """
        with self.holding(fault):
            run = self.run(tests, marks)
        if not run.broke:
            return Outcome(run.reds[0] if run.reds else None)
        without = self.run(tests, marks)
        if without.broke or without.reds:
            return Outcome(None, f"{run.broke}; without the fault: {without.broke or without.reds[0]}")
        # one that loops for ever need not use up the whole limit a second time
        most_cpu_s = min(MOST_CPU_S[marks], 20 + int(4 * without.cpu_s))
        with self.holding(fault):
            again = self.run(tests, marks, most_cpu_s=most_cpu_s)
        if again.broke:
            return Outcome(f"{run.broke}, twice, and not without the fault")
        return Outcome(again.reds[0]) if again.reds else Outcome(None, f"{run.broke}; the same run again was green")

    def red_without_fault(self, tests: Sequence[str]) -> set[str]:
        """Return those of some tests that are red anyway, as on a machine that lacks what they need."""
        functions = sorted({test.partition("[")[0] for test in tests if test.startswith("tests/")})
        reds: set[str] = set()
        for start in range(0, len(functions), 40):
            some = functions[start : start + 40]
            run = self.run(some, "(graph or not graph)", most=0, most_cpu_s=600)
            reds |= {*some} if run.broke else {red.partition("[")[0] for red in run.reds}
        return {test for test in tests if test.partition("[")[0] in reds}

    @contextlib.contextmanager
    def holding(self, planted: Planted) -> Iterator[None]:
        """Hold the fault; a stale compiled file would hide it, so the source's time moves on with every change."""
        path = self.folder / planted.file
        before = path.read_bytes()
        self.write(path, planted.source)
        try:
            yield
        finally:
            self.write(path, before)

    def write(self, path: Path, source: bytes) -> None:
        path.write_bytes(source)
        stamp = next(self.stamp)
        os.utime(path, (stamp, stamp))


def judge(project: Copy, fault: Planted, of_graph: Sequence[str]) -> Outcome:
    """Ask the plain tests of a fault's mirror, then its slow ones, then those of the graph, until one is red."""
    outcomes = []
    for marks, tests in ((PLAIN, fault.tests), (SLOW, fault.tests), (GRAPH, of_graph)):
        outcomes.append(project.judge(fault, marks, tests))
        if outcomes[-1].red:
            return outcomes[-1]
    return next((one for one in outcomes if one.unjudged), outcomes[-1])


def plant(faults: Sequence[Planted], graph: bool, root: Path = ROOT) -> tuple[dict[Key, Outcome], float]:
    """Plant faults one at a time in a copy of their own; return what is said of each, and the CPU seconds of it all."""
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="vpo-wiring-") as name:
        project = Copy(root, Path(name) / "project")
        for fault in faults:
            before = project.seconds
            outcome = judge(project, fault, graph_tests(fault.file) if graph else ())
            outcomes[fault.key] = outcome
            word = "red  " if outcome.red else "?    " if outcome.unjudged else "GREEN"
            place, reason = f"{fault.file}:{fault.line}", outcome.red or outcome.unjudged
            print(
                f"{word} {project.seconds - before:5.1f} s {place} {fault.name}: {fault.change} | {reason}", flush=True
            )
        anyway = project.red_without_fault([one.red for one in outcomes.values() if one.red])
        for key, outcome in outcomes.items():
            if outcome.red in anyway:
                outcomes[key] = Outcome(None, f"{outcome.red} is red without the fault too")
        return outcomes, project.seconds
