"""Ends dvc at random moments, its locks half written among them: `python -m bench.kills [--kills N] [--seed S]`.

A graph is killed up to six times, goes on, and is compared with an undisturbed one: its bytes, and the bill of the
endpoint that stands for the teacher. Figures in bench/results/kills.json, the table in kills.md.
"""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.disturbance import Bench, Story, describe, go_on, make_reply, run_and_kill, summarise
from bench.page import read_basis, write_page
from tests.support.llm_server import serving_process

RESULTS = Path(__file__).resolve().parent / "results"
MOST_A_GRAPH = 6


def measure(kills: int, seed: int) -> dict[str, Any]:
    """Return the figures of at least so many kills."""
    draw, stories = random.Random(seed), []
    with (
        tempfile.TemporaryDirectory(prefix="vpo-kills-") as folder,
        serving_process(make_reply(), delay_s=0.1, sigma=0.5) as server,
    ):
        bench = Bench(Path(folder), server)
        while sum(len(story.kills) for story in stories) < kills:
            story = Story()
            project = bench.begin(f"killed-{len(stories)}")
            for _ in range(draw.randint(2, MOST_A_GRAPH)):
                run_and_kill(bench, project, draw, story)
            if go_on(bench, project, story):
                bench.judge(project, story)
            stories.append(story)
            print(describe(story), flush=True)
            bench.drop(project)
        return {"seed": seed, "bought_undisturbed": bench.bought.total(), **summarise(stories)}


def table(figures: dict[str, Any]) -> str:
    ways = "".join(f"| {how} | {count} |\n" for how, count in figures["by_way"].items())
    moments = "".join(f"| {moment} | {count} |\n" for moment, count in figures["by_moment"].items())
    stops = "".join(f"* {line}\n" for line in figures["refusals"]) or "none\n"
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

Runs that stopped, and what the doctor said:

{stops}"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--kills", type=int, default=40)
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    basis, figures = read_basis("kills"), measure(given.kills, given.seed)
    (RESULTS / "kills.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    write_page("kills", table(figures), basis)
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    sys.exit(bool(figures["wrong"] or figures["twice"]))


if __name__ == "__main__":
    main()
