"""Plants faults in the code, one at a time, and shows which test turns red: `python -m bench.wiring`.

Two kinds: those of `named_faults`, written by hand, and those that `mutations` draws, one a module, from modules that
are drawn too. Each is planted in a copy of the project. First the plain tests of the file's mirror are asked, then its
slow ones, then those of the graph that run its stage. A share below 95 % ends the run with 1. Results in
bench/results/wiring.md. Faults in a finished run's data are planted by tests/test_wiring.py.
"""

import argparse
import contextlib
import fnmatch
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bench.mutations import draw, mutations
from bench.named_faults import FAULTS
from bench.page import Basis, read_basis, write_page
from docs.house import room_of

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "bench/results/wiring.json"
PACKAGES = ("pipeline", "train", "schemas", "vpo")
LEAST_SHARE = 0.95
PLAIN, SLOW, GRAPH = "not graph and not slow", "slow and not graph", "graph"
MARKS = " and not gpu and not live and not nightly"
MOST_CPU_S = 120
"""of one test run; a fault that loops for ever is noticed by that"""
IDLE_S = 60
"""a run that sleeps for so long, but for a second of work, waits for ever"""
WARM = ("pytest", "hypothesis", "numpy", "pydantic", "click", "ruamel.yaml", "jinja2", "regex", "torch", "transformers",
        "trl", "duckdb", "pyarrow.parquet", "PIL.Image")  # fmt: skip
"""Libraries that a process loads before it is forked for each fault."""
UNDRAWN = {
    "schemas/seams.py": "shapes and Protocols",
    "schemas/needs.py": "shapes alone",
    "pipeline/evaluation/figures.py": "pictures, which a person looks at",
    "pipeline/curation/plots.py": "pictures, which a person looks at",
    "pipeline/runtime/pyplot.py": "pictures, which a person looks at",
    "pipeline/runtime/progress.py": "progress, which a person looks at",
    "pipeline/runtime/terminal.py": "progress, which a person looks at",
}
"""Modules from which no fault is drawn -> why."""
GRAPH_TESTS = {
    "vpo/": "tests/test_wiring.py tests/test_graph.py",
    "pipeline/backends/renderer/[!o]*": "",
    "pipeline/backends/reward/[!o]*": "",
    "pipeline/backends/*/openai.py": "",
    "pipeline/llm/calls/": "",
    "": "tests/test_wiring.py::test_a_sound_run_breaks_no_check tests/test_graph.py::test_every_arm_has_every_metric "
        "tests/test_graph.py::test_no_row_vanishes_between_stages",
}  # fmt: skip
"""Beginning of a path -> tests of the graph that run such files; it runs no backend but the offline ones."""


VERDICTS: dict[tuple[str, str], str] = {
    (
        "train/throughput.py",
        "`state.is_world_process_zero and len(steps) > 1` -> `(state.is_world_process_zero or len(steps) > 1)`",
    ): "a gap: no test asks that a training of one step keeps no speed",
    (
        "vpo/planning/estimate.py",
        "`max` -> `min`",
    ): "a gap: no test pins how many votes are foreseen behind those that are supposed",
}
"""(file, change or name) of a fault that nothing notices -> why that is no gap, or what is missing."""


Key = tuple[str, str, str]


class Planted(NamedTuple):
    """A fault in its place: the file, the source with it, the tests to ask first, and what was changed where."""

    name: str
    file: str
    source: bytes
    tests: tuple[str, ...]
    line: int
    change: str = ""

    @property
    def key(self) -> Key:
        """What tells it from other faults."""
        return self.name, self.file, self.change


class Run(NamedTuple):
    """What a run of tests ended with: those that were red, and its CPU seconds."""

    reds: list[str]
    cpu_s: float


def own_tests(file: str) -> tuple[str, ...]:
    """Return the test files of a module: tests/<path>/test_<module>.py and those whose names begin so."""
    path = Path(file)
    if path.name == "__init__.py":
        path = path.parent.with_suffix(".py")
    folder = ROOT / "tests" / path.parent
    siblings = {one.stem for one in (ROOT / path.parent).glob("*.py")} - {path.stem}
    found = []
    for test in sorted(folder.glob(f"test_{path.stem}*.py"), key=lambda test: len(test.name)):
        words = test.stem.removeprefix("test_")
        longer = [
            one for one in siblings if len(one) > len(path.stem) and (words == one or words.startswith(one + "_"))
        ]
        if words == path.stem or (words.startswith(path.stem + "_") and not longer):
            found.append(test.relative_to(ROOT).as_posix())
    if not found and path.parts[0] == "schemas":  # a row's shape is tested with all rows, and where the row is made
        found = ["tests/schemas/test_stage.py"]
        found += [test for package in ("pipeline", "train") for test in own_tests(f"{package}/{path.name}")]
    return tuple(found)


def copy(folder: Path) -> None:
    """Copy what git lists or would list of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


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


def ask(folder: Path, tests: Sequence[str], marks: str, most: int = 1) -> Run:
    """Run tests in a forked process, up to the `most`-th that fails; 0 runs all."""
    if not tests:
        return Run([], 0.0)
    reading, writing = os.pipe()
    before, looked_at = 0, time.monotonic()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            os.close(reading)
            resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
            sink = os.open(os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            os.chdir(folder)
            sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
            for name in [one for one in sys.modules if one.partition(".")[0] in ("bench", "docs", "tests", *PACKAGES)]:
                del sys.modules[name]
            # what a test spawns would run this program once more
            sys.modules["__main__"] = types.ModuleType("__main__")
            import pytest

            reds = Reds()
            words = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}-tests", "-m", marks + MARKS, *tests]
            code = int(pytest.main([f"--maxfail={most}", *words], plugins=[reds]))
            if not reds.names and code not in (0, 5):
                reds.names.append(f"pytest ended with {code}")
            os.write(writing, json.dumps(reds.names).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    for look in itertools.count():
        ended, _, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
        if look % 40:
            continue
        worked, runs = look_at_group(child)
        if runs or worked - before > os.sysconf("SC_CLK_TCK"):  # one that a busy machine keeps from its turn waits too
            before, looked_at = worked, time.monotonic()
        elif time.monotonic() - looked_at > IDLE_S:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # servers that a test died above
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    shutil.rmtree(f"{folder}-tests", ignore_errors=True)
    return Run(json.loads(told) if told else ["the run did not end"], usage.ru_utime + usage.ru_stime)


def look_at_group(group: int) -> tuple[int, bool]:
    """Return the CPU time so far of the processes of a group, in ticks of the clock, and whether one of them runs."""
    ticks, runs = 0, False
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, ValueError):
            state, _, its_group, *fields = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
            if int(its_group) == group:
                ticks, runs = ticks + int(fields[8]) + int(fields[9]), runs or state in "RD"
    return ticks, runs


class Copy:
    """A copy of the project in which one fault at a time is planted."""

    def __init__(self, folder: Path):
        self.folder, self.seconds, self.stamp = folder, 0.0, itertools.count(int(time.time()))
        copy(folder)
        os.environ |= {
            "PYTHONPATH": str(folder), "VPO_HOME": f"{folder}-home", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
            "DS_ACCELERATOR": "cpu",
        }  # fmt: skip
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

    def ask(self, tests: Sequence[str], marks: str, most: int = 1) -> list[str]:
        """Run tests; return those that are red."""
        run = ask(self.folder, tests, marks, most)
        self.seconds += run.cpu_s
        return run.reds

    def noticed_by(self, fault: "Planted", marks: str, tests: Sequence[str]) -> str | None:
        """Return the first test that is red with the fault, None where there is none."""
        with self.holding(fault):
            reds = self.ask(tests, marks)
        return reds[0] if reds else None

    def red_without_fault(self, tests: Iterable[str]) -> set[str]:
        """Return those of some tests that are red anyway, as on a machine that lacks what they need."""
        functions = sorted({test.partition("[")[0] for test in tests if test.startswith("tests/")})
        reds = {red.partition("[")[0] for red in self.ask(functions, "not graph", most=0)}
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


def named(pattern: str) -> list[Planted]:
    """Return the faults that are written by hand. Stops where one's words do not stand in the file once."""
    planted = []
    for fault in FAULTS:
        text = (ROOT / fault.file).read_text()
        if text.count(fault.old) != 1:
            sys.exit(f"{fault.file} holds {fault.old!r} {text.count(fault.old)} times, not once")
        if fnmatch.fnmatch(fault.file, pattern) or fnmatch.fnmatch(fault.name, pattern):
            line = text[: text.index(fault.old)].count("\n") + 1
            source = text.replace(fault.old, fault.new).encode()
            tests = tuple(fault.tests.split()) or own_tests(fault.file)
            planted.append(Planted(fault.name, fault.file, source, tests, line))
    return planted


def drawn(count: int, seed: int, pattern: str) -> list[Planted]:
    """Return `count` drawn faults, at most one a module and then a second, ..."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    modules = [path.relative_to(ROOT).as_posix() for path in paths if mutations(path.read_bytes())]
    modules = [module for module in modules if fnmatch.fnmatch(module, pattern) and module not in UNDRAWN]
    order = {module: draw((ROOT / module).read_bytes(), f"{seed}/{module}") for module in modules}
    planted: list[Planted] = []
    while order and len(planted) < count:
        for module in random.Random(f"{seed}/{len(planted)}").sample(sorted(order), len(order)):
            one = next(order[module], None)
            if one is None:
                del order[module]
                continue
            source = (ROOT / module).read_bytes()
            was = " ".join(source[one.start : one.end].decode().split())
            change = f"`{was[:70]}` -> `{' '.join(one.new.split())[:70]}`"
            planted.append(Planted(one.kind, module, one.apply(source), own_tests(module), one.line, change))
            if len(planted) == count:
                break
    return planted


def graph_tests(file: str) -> tuple[str, ...]:
    """Return the tests of the graph that run a file."""
    for pattern, tests in GRAPH_TESTS.items():
        if fnmatch.fnmatch(file, f"{pattern}*"):
            return tuple(tests.split())
    return ()


class Result(NamedTuple):
    """A fault, named or drawn, and the test that turned red; None where none did."""

    name: str
    file: str
    line: int
    change: str
    red: str | None


def make_page(results: Sequence[Result], seed: int, cpu_minutes: float, carried: int = 0) -> str:
    """Return the page: the share noticed by room, what nothing noticed and why, and every fault.

    `carried` results are of a run before.
    """
    rooms = sorted({room_of(one.file) for one in results})
    noticed = sum(one.red is not None for one in results)
    lines = [
        "# Planted faults and the test that turns red",
        "",
        f"`python -m bench.wiring --seed {seed}`: {len(results)} faults planted one at a time, "
        f"{noticed} noticed ({noticed / len(results):.1%}; {LEAST_SHARE:.0%} are asked for), {cpu_minutes:.0f} CPU "
        "minutes. A fault is noticed by the plain tests of its file's mirror, else by its slow ones, else by the "
        "graph's that run its stage."
        + (f" {carried} were red in a run at an earlier commit and not asked again." if carried else ""),
        "",
        "Tests have been written against what earlier runs missed, so this share says that those gaps are closed, not "
        "how many of the faults that nobody has planted yet would be noticed: ask that with a seed that was not used.",
        "",
        "| room | by hand | red | drawn | red |",
        "|---|---|---|---|---|",
    ]
    for room in [*rooms, "all"]:
        of_room = [one for one in results if room in (room_of(one.file), "all")]
        cells = [room]
        for some in ([one for one in of_room if not one.change], [one for one in of_room if one.change]):
            cells += [str(len(some)), str(sum(one.red is not None for one in some))]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Noticed by none", "", "| fault | where | verdict |", "|---|---|---|"]
    for one in results:
        if one.red is None:
            verdict = VERDICTS.get((one.file, one.change or one.name), "not looked at yet")
            lines.append(f"| {describe(one)} | `{one.file}:{one.line}` | {verdict} |")
    lines += ["", "## Noticed", "", "| fault | where | red |", "|---|---|---|"]
    for one in results:
        if one.red is not None:
            test = one.red.split("::")[-1].partition("[")[0]
            lines.append(f"| {describe(one)} | `{one.file}:{one.line}` | `{test}` |")
    return "\n".join(lines) + "\n"


def describe(one: Result) -> str:
    """Return what was changed, as a cell of a table."""
    return f"{one.name}{': ' if one.change else ''}{one.change}".replace("|", "\\|")


def plant(faults: Sequence[Planted], graph: bool) -> tuple[list[tuple[Key, str | None]], float]:
    """Plant faults one at a time in a copy of its own; return what each turns red, and the CPU seconds of it all."""
    results = []
    with tempfile.TemporaryDirectory(prefix="vpo-wiring-") as name:
        project = Copy(Path(name) / "project")
        for fault in faults:
            before = project.seconds
            red = project.noticed_by(fault, PLAIN, fault.tests) or project.noticed_by(fault, SLOW, fault.tests)
            if red is None and graph:
                red = project.noticed_by(fault, GRAPH, graph_tests(fault.file))
            results.append((fault.key, red))
            word, place = "red  " if red else "GREEN", f"{fault.file}:{fault.line}"
            print(f"{word} {project.seconds - before:5.1f} s {place} {fault.name}: {fault.change} | {red}", flush=True)
        anyway = project.red_without_fault([red for _, red in results if red])
        if anyway:
            print(f"red without any fault, so they notice nothing: {', '.join(sorted(anyway))}", flush=True)
        return [(fault, None if red in anyway else red) for fault, red in results], project.seconds


def show_page(record: Mapping[str, Any]) -> None:
    """Write the page of a run."""
    results = [*map(Result._make, record["results"])]
    basis: Basis = record["basis"]
    write_page("wiring", make_page(results, record["seed"], record["cpu_minutes"], record["carried"]), basis)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=130, help="drawn faults")
    parser.add_argument("--jobs", type=int, default=1, help="copies of the project that are worked in side by side")
    parser.add_argument("--only", default="*", help="a pattern of files, or of names of faults")
    parser.add_argument("--named", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--graph", action=argparse.BooleanOptionalAction, default=True, help="ask the graph's tests too"
    )
    parser.add_argument("--page", action=argparse.BooleanOptionalAction, default=True, help="write the page")
    parser.add_argument("--again", action="store_true", help="make the page of the last run again, with new verdicts")
    parser.add_argument(
        "--rest", action="store_true", help="ask again about what the last run found green, and about what is new"
    )
    words = parser.parse_args()

    record: dict[str, Any] = {"results": [], "cpu_minutes": 0.0}
    if words.again or words.rest:
        record = json.loads(RECORD.read_text())
    if words.again:
        show_page(record)
        return
    faults = (named(words.only) if words.named else []) + drawn(words.count, words.seed, words.only)
    before = {(one.name, one.file, one.change): one.red for one in map(Result._make, record["results"]) if one.red}
    all_faults, faults = faults, [one for one in faults if one.key not in before]
    basis = read_basis("wiring")
    warm_up()
    # round robin: neighbours are of one file, and some files' tests are slow
    shards = [faults[start :: words.jobs] for start in range(words.jobs)]
    with ProcessPoolExecutor(words.jobs, multiprocessing.get_context("fork")) as pool:
        ran = list(pool.map(plant, shards, [words.graph] * words.jobs))
    reds = dict(pair for pairs, _ in ran for pair in pairs)
    reds = before | reds
    results = [Result(one.name, one.file, one.line, one.change, reds[one.key]) for one in all_faults]
    minutes = record["cpu_minutes"] + sum(seconds for _, seconds in ran) / 60
    noticed = sum(one.red is not None for one in results)
    print(f"{len(results)} planted, {noticed} noticed, {noticed / len(results):.1%}; {minutes:.1f} CPU minutes")
    if words.page:
        record = {"seed": words.seed, "cpu_minutes": minutes, "results": results, "basis": basis}
        record["carried"] = len(all_faults) - len(faults)
        RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        show_page(record)
    sys.exit(noticed < LEAST_SHARE * len(results))


if __name__ == "__main__":
    main()
