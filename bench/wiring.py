"""Plants faults in the code, one at a time, and shows which test turns red: `python -m bench.wiring`.

Two kinds: those of `named_faults`, written by hand, and those that `mutations` draws, one a module, from modules that
are drawn too. Each is planted in a copy of the project. First the plain tests of the file's mirror are asked, then its
slow ones, then those of the graph that run its stage. A share below 95 % ends the run with 1. Results in
bench/results/wiring.md. Faults in a finished run's data are planted by tests/test_wiring.py.
"""

import argparse
import functools
import hashlib
import json
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bench.faults import ROOT, Key, Planted, drawn, graph_tests, named
from bench.forked_tests import warm_up
from bench.page import WALKED, Basis, read_basis, write_page
from bench.planting import plant
from docs.house import room_of
from pipeline.runtime.fingerprint import imports, reach

RECORD = ROOT / "bench/results/wiring.json"
LEAST_SHARE = 0.95
SETTINGS = ("params.yaml", "dvc.yaml", "pyproject.toml", "pipeline/templates/*")
"""What tests read beside the code."""
VERDICTS: dict[tuple[str, str], str] = {}
"""(file, change or name) of a fault that nothing notices -> what is missing."""
EQUIVALENT: dict[tuple[str, str], str] = {
    ("pipeline/runtime/io.py", "`sorted(ours - made)` -> `(sorted(ours - made, reverse=True))`"):
        "the order in which files are removed is seen by nobody",
    ("pipeline/runtime/params_file.py", "`sorted(read)` -> `(sorted(read, reverse=True))`"):
        "keys for the test of dvc.yaml, which reads them as a set",
    (
        "pipeline/text/common_words.py",
        "`sorted({request.strip() for request in requests})` -> "
        "`(sorted({request.strip() for request in requests}, reverse=True))`",
    ): "os.path.commonprefix compares the least and the greatest text, whatever their order",
}  # fmt: skip
"""(file, change) of a drawn fault that no behaviour can show -> why; it is in no count."""


class Result(NamedTuple):
    """A fault, named or drawn, and the test that turned red; None where none did."""

    name: str
    file: str
    line: int
    change: str
    red: str | None
    unjudged: str
    """why no test can be asked; "" where one can"""
    basis: str
    """the hash of all that the outcome depends on"""

    @property
    def key(self) -> Key:
        """What tells it from other faults."""
        return self.name, self.file, self.change


def hash_basis(fault: Planted, graph: bool, root: Path = ROOT) -> str:
    """Return a hash of what the tests say of a fault by: its file, its tests, what both import, and the settings."""
    tests = [test.partition("::")[0] for test in (*fault.tests, *(graph_tests(fault.file) if graph else ()))]
    names = {fault.file, *tests}
    for test in tests:
        names |= {
            str(folder / "conftest.py") for folder in Path(test).parents if (root / folder / "conftest.py").is_file()
        }
    files = reach(names, lambda path: imports(root, path, WALKED))
    if graph and graph_tests(fault.file):  # they start the stages as processes
        files = sorted(
            {*files, *(str(path.relative_to(root)) for one in WALKED[2:] for path in (root / one).rglob("*.py"))}
        )
    settings = sorted(str(path.relative_to(root)) for pattern in SETTINGS for path in root.glob(pattern))
    lines = [f"{name} {_hash_file(root / name)}" for name in (*files, *settings)]
    return hashlib.sha256("\n".join([fault.name, fault.change, *fault.tests, *lines]).encode()).hexdigest()[:16]


@functools.cache
def _hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_page(results: Sequence[Result], seed: int, cpu_minutes: float, carried: int = 0) -> str:
    """Return the page: the share noticed by room, what nothing noticed and why, and every fault.

    `carried` results are of a run before.
    """
    judged = [one for one in results if counts(one)]
    unjudged = [one for one in results if one.unjudged]
    equivalent = [one for one in results if not one.unjudged and not counts(one)]
    rooms = sorted({room_of(one.file) for one in judged})
    noticed = sum(one.red is not None for one in judged)
    lines = [
        "# Planted faults and the test that turns red",
        "",
        f"`python -m bench.wiring --seed {seed}`: {len(judged)} faults planted one at a time, "
        f"{noticed} noticed ({noticed / max(1, len(judged)):.1%}; {LEAST_SHARE:.0%} are asked for), {cpu_minutes:.0f} "
        "CPU minutes. A fault is noticed by the plain tests of its file's mirror, else by its slow ones, else by the "
        "graph's that run its stage. A run that breaks off counts where it does so twice, and not without the fault; "
        f"{len(unjudged)} faults could not be judged and {len(equivalent)} "
        "change nothing that can be seen: in no count."
        + (f" {carried} results are of a run before: nothing that they depend on has changed." if carried else ""),
        "",
        "Tests have been written against what earlier runs missed, so this share says that those gaps are closed, not "
        "how many of the faults that nobody has planted yet would be noticed: ask that with a seed that was not used.",
        "",
        "Never drawn are words for people, sizes and waits that decide how fast and not what, what Python or a linter "
        "holds, and steps that tidy up: TALK, QUIET, CUSTOMARY, TENDING and SPARING in `bench/mutations.py` name them.",
        "",
        "| room | by hand | red | drawn | red |",
        "|---|---|---|---|---|",
    ]
    for room in [*rooms, "all"]:
        of_room = [one for one in judged if room in (room_of(one.file), "all")]
        cells = [room]
        for some in ([one for one in of_room if not one.change], [one for one in of_room if one.change]):
            cells += [str(len(some)), str(sum(one.red is not None for one in some))]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Noticed by none", "", "| fault | where | verdict |", "|---|---|---|"]
    for one in judged:
        if one.red is None:
            verdict = VERDICTS.get((one.file, one.change or one.name), "not looked at yet")
            lines.append(f"| {describe(one)} | `{one.file}:{one.line}` | {verdict} |")
    if unjudged:
        lines += ["", "## Not judged", "", "| fault | where | why |", "|---|---|---|"]
        lines += [f"| {describe(one)} | `{one.file}:{one.line}` | {one.unjudged} |" for one in unjudged]
    if equivalent:
        lines += ["", "## Without a difference", "", "| fault | where | why |", "|---|---|---|"]
        lines += [
            f"| {describe(one)} | `{one.file}:{one.line}` | {EQUIVALENT[one.file, one.change]} |" for one in equivalent
        ]
    lines += ["", "## Noticed", "", "| fault | where | red |", "|---|---|---|"]
    for one in judged:
        if one.red is not None:
            test = one.red.split("::")[-1].partition("[")[0]
            lines.append(f"| {describe(one)} | `{one.file}:{one.line}` | `{test}` |")
    return "\n".join(lines) + "\n"


def counts(one: Result) -> bool:
    """Return whether a fault is in the share: it could be judged, and its behaviour differs."""
    return not one.unjudged and (one.red is not None or (one.file, one.change) not in EQUIVALENT)


def describe(one: Result) -> str:
    """Return what was changed, as a cell of a table."""
    return f"{one.name}{': ' if one.change else ''}{one.change}".replace("|", "\\|")


def carry(record: Mapping[str, Any], bases: Mapping[Key, str]) -> dict[Key, Result]:
    """Return the results of a run before whose faults are planted again and depend on nothing that has changed."""
    before = [Result(*one) for one in record["results"] if len(one) == len(Result._fields)]
    return {one.key: one for one in before if not one.unjudged and bases.get(one.key) == one.basis}


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
        "--rest", action="store_true", help="keep what the last run said where nothing that it depends on has changed"
    )
    words = parser.parse_args()

    record: dict[str, Any] = {"results": [], "cpu_minutes": 0.0}
    if words.again or words.rest:
        record = json.loads(RECORD.read_text())
    if words.again:
        show_page(record)
        return
    faults = (named(words.only) if words.named else []) + drawn(words.count, words.seed, words.only)
    bases = {fault.key: hash_basis(fault, words.graph) for fault in faults}
    kept = carry(record, bases)
    rest = [fault for fault in faults if fault.key not in kept]
    basis = read_basis("wiring")
    warm_up()
    # round robin: neighbours are of one file, and some files' tests are slow
    shards = [rest[start :: words.jobs] for start in range(words.jobs)]
    with ProcessPoolExecutor(words.jobs, multiprocessing.get_context("fork")) as pool:
        ran = list(pool.map(plant, shards, [words.graph] * words.jobs))
    outcomes = {key: outcome for some, _ in ran for key, outcome in some.items()}
    results = [
        kept[one.key]
        if one.key in kept
        else Result(one.name, one.file, one.line, one.change, *outcomes[one.key], bases[one.key])
        for one in faults
    ]
    minutes = record["cpu_minutes"] + sum(seconds for _, seconds in ran) / 60
    judged = [one for one in results if counts(one)]
    noticed = sum(one.red is not None for one in judged)
    print(f"{len(judged)} judged, {noticed} noticed, {noticed / max(1, len(judged)):.1%}; {minutes:.1f} CPU minutes")
    if words.page:
        record = {"seed": words.seed, "cpu_minutes": minutes, "results": results, "basis": basis, "carried": len(kept)}
        RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        show_page(record)
    sys.exit(noticed < LEAST_SHARE * len(judged))


if __name__ == "__main__":
    main()
