"""Ends dvc at random moments, its locks half written among them: `python -m bench.kills [--kills N] [--seed S]`.

A graph is killed up to six times, goes on, and is compared with an undisturbed one: its bytes, and the bill of the
endpoint that stands for the teacher. Figures in bench/results/kills.json, the table in kills.md.
"""

import random
import sys
from typing import Any

from bench.disturbance import (
    Story,
    go_on,
    list_stops,
    live_through,
    opened_bench,
    parse_arguments,
    run_and_kill,
    save_figures,
    summarise,
)
from bench.page import read_basis, write_page
from tests.support.project import Project

MOST_A_GRAPH = 6


def measure(kills: int, seed: int) -> dict[str, Any]:
    """Return the figures of at least so many kills."""
    draw, stories = random.Random(seed), []
    with opened_bench(delay_s=0.1, sigma=0.5) as bench:

        def kill(project: Project, story: Story) -> None:
            run_and_kill(bench, project, draw, story)

        while sum(len(story.kills) for story in stories) < kills:
            name = f"killed-{len(stories)}"
            stories.append(live_through(bench, name, kill, draw.randint(2, MOST_A_GRAPH), go_on))
        return {"seed": seed, "bought_undisturbed": bench.bought.total(), **summarise(stories)}


def make_table(figures: dict[str, Any]) -> str:
    ways = "".join(f"| {how} | {count} |\n" for how, count in figures["by_way"].items())
    moments = "".join(f"| {moment} | {count} |\n" for moment, count in figures["by_moment"].items())
    return f"""# dvc ended at random moments

`python -m bench.kills --kills {figures["kills"]} --seed {figures["seed"]}`: {figures["graphs"]} graphs of text, clips
and scores, whose teacher is a loopback endpoint ({figures["bought_undisturbed"]} answers undisturbed). After the kills
`dvc repro` goes on; where it stops, `vpo doctor` names the command, which is run.

| ended by | kills |
|---|---|
{ways}
| moment | kills |
|---|---|
{moments}
| what must hold | figure |
|---|---|
| kills | {figures["kills"]} |
| files that differ from the undisturbed graph's, tracebacks, graphs that do not go on | {len(figures["wrong"])} |
| answers bought again that were in flight at a kill | {figures["repeated"]} |
| answers bought twice beyond those | {figures["twice"]} |

| a run stopped -> what the doctor said | times |
|---|---|
{list_stops(figures)}"""


def main() -> None:
    kills, seed = parse_arguments(__doc__.splitlines()[0], "kills", 40)
    basis, figures = read_basis("kills"), measure(kills, seed)
    write_page("kills", make_table(figures), basis)
    sys.exit(0 if save_figures("kills", figures) else 1)


if __name__ == "__main__":
    main()
