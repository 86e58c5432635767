"""The faults that are planted: those written by hand, those drawn, and the tests that are asked for each."""

import fnmatch
import random
import sys
from pathlib import Path
from typing import NamedTuple

from bench.mutations import draw, mutations
from bench.named_faults import FAULTS
from docs.house import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
UNDRAWN = {
    "schemas/seams.py": "shapes and Protocols",
    "schemas/needs.py": "shapes alone",
    "pipeline/evaluation/figures.py": "pictures, which a person looks at",
    "pipeline/curation/plots.py": "pictures, which a person looks at",
    "pipeline/runtime/pyplot.py": "pictures, which a person looks at",
    "pipeline/runtime/progress.py": "progress, which a person looks at",
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


def own_tests(file: str) -> tuple[str, ...]:
    """Return the test files of a module: tests/<path>/test_<module>.py and those whose names begin so."""
    path = Path(file)
    if path.name == "__init__.py":
        path = path.parent.with_suffix(".py")
    folder = ROOT / "tests" / path.parent
    siblings = {one.stem for one in (ROOT / path.parent).glob("*.py")} - {path.stem}
    mirrors = []
    for test in sorted(folder.glob(f"test_{path.stem}*.py"), key=lambda test: len(test.name)):
        words = test.stem.removeprefix("test_")
        longer = [
            one for one in siblings if len(one) > len(path.stem) and (words == one or words.startswith(one + "_"))
        ]
        if words == path.stem or (words.startswith(path.stem + "_") and not longer):
            mirrors.append(test.relative_to(ROOT).as_posix())
    if not mirrors and path.parts[0] == "schemas":  # a row's shape is tested with all rows, and where the row is made
        mirrors = ["tests/schemas/test_stage.py"]
        mirrors += [test for package in ("pipeline", "train") for test in own_tests(f"{package}/{path.name}")]
    return tuple(mirrors)


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
    modules = [path.relative_to(ROOT).as_posix() for path in paths]
    modules = [module for module in modules if fnmatch.fnmatch(module, pattern) and module not in UNDRAWN]
    modules = [module for module in modules if mutations((ROOT / module).read_bytes())]
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
