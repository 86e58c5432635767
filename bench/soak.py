"""Kills dvc and damages its files, in turns drawn by a seed: `make soak`, or `python -m bench.soak --minutes 10`.

The endpoint that stands for the teacher fails in passing, dvc is ended at random moments, and between the runs files
are cut, emptied, edited or removed. A person who only runs `dvc repro`, and does what `vpo doctor` says, must come to
the undisturbed bytes and pay for nothing twice. Figures in bench/results/soak.json, the table in soak.md.
"""

import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.disturbance import (
    TRANSIENT,
    Bench,
    Story,
    go_by_doctor,
    go_on,
    list_stops,
    live_through,
    opened_bench,
    parse_arguments,
    repro,
    run_and_kill,
    save_figures,
    summarise,
)
from bench.page import read_basis, write_page
from tests.support.project import Project

MOST_A_GRAPH = 8


def pick(paths: list[Path], draw: random.Random) -> Path | None:
    """Return one of the files among `paths`, None where there is none."""
    files = sorted(path for path in paths if path.is_file() and path.stat().st_size)
    return draw.choice(files) if files else None


def outputs(project: Project) -> list[Path]:
    return [path for path in (project.path / "data").rglob("*") if "raw" not in path.parts]


def objects(project: Project) -> list[Path]:
    return list((project.path / ".dvc/cache/files").rglob("*"))


def empty(path: Path) -> bool:
    if path.is_file():
        path.write_text("")
    return path.is_file()


def cut(path: Path | None, draw: random.Random) -> bool:
    if path:
        content = path.read_bytes()
        path.write_bytes(content[: draw.randrange(len(content))])
    return path is not None


def flip(path: Path | None, draw: random.Random) -> bool:
    """Change one byte of a file; in DVC's cache it stays read-only, as a disk that fails would leave it."""
    if path:
        content, mode = bytearray(path.read_bytes()), path.stat().st_mode
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.chmod(0o644)
        path.write_bytes(content)
        path.chmod(mode)
    return path is not None


def remove(path: Path | None) -> bool:
    if path:
        path.unlink()
    return path is not None


DAMAGES: dict[str, Callable[[Project, random.Random], bool]] = {
    "dvc.lock cut": lambda project, draw: cut(pick([project.path / "dvc.lock"], draw), draw),
    "dvc.lock emptied": lambda project, draw: empty(project.path / "dvc.lock"),
    "dvc.lock removed": lambda project, draw: remove(pick([project.path / "dvc.lock"], draw)),
    "rwlock cut": lambda project, draw: cut(pick([project.path / ".dvc/tmp/rwlock"], draw), draw),
    "output cut": lambda project, draw: cut(pick(outputs(project), draw), draw),
    "output flipped": lambda project, draw: flip(pick(outputs(project), draw), draw),
    "output removed": lambda project, draw: remove(pick(outputs(project), draw)),
    "cache object flipped": lambda project, draw: flip(pick(objects(project), draw), draw),
    "cache object removed": lambda project, draw: remove(pick(objects(project), draw)),
    ".gitignore removed": lambda project, draw: remove(pick([project.path / ".gitignore"], draw)),
    "account emptied": lambda project, draw: empty(project.path / ".dvc/vpo_account"),
}
"""name -> what does it, and returns whether there was anything to damage"""


def empty_the_store(bench: Bench, project: Project, story: Story) -> bool:
    """Leave an empty store for one run, which must buy nothing, and put the answers back."""
    store, aside = project.home / "store", project.home / "aside"
    if not (store / "record").is_file():
        return False
    shutil.copytree(store, aside)
    for path in store.glob("answers.sqlite*"):
        path.unlink()
    (store / "answers.sqlite").touch()
    requests_before = bench.server.totals()["requests"]
    repro(bench, project).wait()
    if (bought := bench.server.totals()["requests"] - requests_before) > 0:
        story.wrong.append(f"{bought} requests of a run whose store was empty")
    shutil.rmtree(store)
    aside.rename(store)
    return True


def disturb(bench: Bench, project: Project, draw: random.Random, story: Story) -> None:
    """Kill dvc, or damage something of the project and of its answers."""
    share = draw.random()
    damage = draw.choice(list(DAMAGES))
    if share < 0.5:
        run_and_kill(bench, project, draw, story)
    elif share < 0.95:
        if DAMAGES[damage](project, draw):
            story.damages.append(damage)
    elif empty_the_store(bench, project, story):
        story.damages.append("store emptied for a run")


def finish(bench: Bench, project: Project, story: Story) -> bool:
    """Run dvc to its end, then by `vpo doctor` until that finds nothing; return whether it came to that."""
    for _ in range(4):
        if not go_on(bench, project, story):
            return False
        if project.run("vpo", "doctor", check=False, OPENAI_API_KEY="x").returncode == 0:
            return True
        go_by_doctor(bench, project, story)
    story.wrong.append("the doctor is never content")
    return False


def measure(minutes: float, seed: int) -> dict[str, Any]:
    """Return the figures of as many graphs as are finished in `minutes`."""
    draw, stories = random.Random(seed), []
    with opened_bench(fault_share=0.15, faults=TRANSIENT, seed=seed, delay_s=0.3, sigma=0.5) as bench:

        def kill_or_damage(project: Project, story: Story) -> None:
            disturb(bench, project, draw, story)

        deadline_s = time.monotonic() + 60 * minutes
        while time.monotonic() < deadline_s:
            name = f"soaked-{len(stories)}"
            stories.append(live_through(bench, name, kill_or_damage, draw.randint(2, MOST_A_GRAPH), finish))
        return {"seed": seed, "minutes": minutes, "bought_undisturbed": bench.bought.total(), **summarise(stories)}


def make_table(figures: dict[str, Any]) -> str:
    damages = "".join(f"| {name} | {count} |\n" for name, count in figures["damages"].items())
    return f"""# A soak of kills and faults

`python -m bench.soak --minutes {figures["minutes"]:g} --seed {figures["seed"]}`: {figures["graphs"]} graphs of text,
clips and scores, whose teacher is a loopback endpoint that fails in passing ({figures["bought_undisturbed"]} answers
undisturbed). Between the runs dvc is killed and files are damaged; whoever runs `dvc repro` again, and does what
`vpo doctor` says, comes to the end.

| what must hold | figure |
|---|---|
| kills | {figures["kills"]} |
| damages | {sum(figures["damages"].values())} |
| runs that stopped and were set right by `vpo doctor` | {len(figures["refusals"])} |
| wrong bytes, tracebacks, graphs that do not go on | {len(figures["wrong"])} |
| answers bought again that were in flight at a kill | {figures["repeated"]} |
| answers bought twice beyond those | {figures["twice"]} |

| damage | times |
|---|---|
{damages}
| a run stopped -> what the doctor said | times |
|---|---|
{list_stops(figures)}"""


def main() -> None:
    minutes, seed = parse_arguments(__doc__.splitlines()[0], "minutes", 60.0)
    basis, figures = read_basis("soak"), measure(minutes, seed)
    write_page("soak", make_table(figures), basis)
    sys.exit(0 if save_figures("soak", figures) else 1)


if __name__ == "__main__":
    main()
