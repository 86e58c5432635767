"""`vpo compare`: runs side by side: what was changed, what came of it, and what got worse."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pipeline.runtime.params_undo import flatten
from vpo.comparing.differences import Line, compare_runs
from vpo.comparing.runs import WORKSPACE, Run, find_first_run, open_run
from vpo.graph import recipe_option
from vpo.project import find_project
from vpo.sql import print_table

SHOWN_PARAMS = 12


@click.command("compare")
@click.argument("names", nargs=-1, metavar="[EXP]...")
@click.option("--arm", help="The arm to compare; default: dpo, sft, or the last policy that all have.")
@recipe_option
def main(names: tuple[str, ...], arm: str | None, recipe: str) -> None:
    """Set runs side by side: changed params, headline metrics with intervals, and what got worse.

    An EXP is an experiment of DVC or any git revision; `workspace` is what lies in the folder. One EXP is compared with
    the workspace, none compares the last commit with it, or the first experiment where the commit holds no run.
    Differences are from the first run, over the same queries where runs have them in common.
    """
    root = find_project()
    first = names[:1] or [find_first_run(root, recipe)]
    chosen = [*first, *(names[1:] or [WORKSPACE])]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs = [open_run(root, name, folder / str(number), recipe) for number, name in enumerate(chosen)]
        changes = list(changed_params(runs))
        arm = arm or last_policy(runs)
        lines = compare_runs(runs, arm)
    show_params(changes, runs)
    show_lines(lines, runs, arm)


def changed_params(runs: list[Run]) -> Iterator[tuple[str, list[Any]]]:
    """Yield each key whose value is not the same in all runs, with the values."""
    flat = [dict(flatten(run.tree)) for run in runs]
    for key in dict.fromkeys(key for values in flat for key in values):
        values = [item.get(key) for item in flat]
        if any(value != values[0] for value in values):
            yield key, values


def last_policy(runs: list[Run]) -> str:
    """Return the arm after DPO, else after SFT, else the last policy that all runs have. ClickException without one."""
    arms = [name for name, described in runs[-1].params.evaluate.arms.items() if described.prompts == "policy"]
    shared = [name for name in arms if all(name in run.params.evaluate.arms for run in runs)]
    shared.sort(key=lambda name: (name == "sft") + 2 * (name == "dpo"))  # extra arms are comparisons
    if not shared:
        raise click.ClickException("the runs have no arm of a policy in common: name one with --arm")
    return shared[-1]


def show_params(changes: list[tuple[str, list[Any]]], runs: list[Run]) -> None:
    """Print the params that differ."""
    if not changes:
        click.echo("params: the same")
        return
    rows = [[key, *("" if value is None else str(value)[:40] for value in values)] for key, values in changes]
    print_table(["param", *(run.name for run in runs)], rows[:SHOWN_PARAMS], count=False)
    if len(rows) > SHOWN_PARAMS:
        click.echo(f"and {len(rows) - SHOWN_PARAMS} more params")


def show_lines(lines: list[Line], runs: list[Run], arm: str) -> None:
    """Print the figures and, behind each later run, its difference from the first with a flag."""
    first, *later = runs
    columns = ["metric", first.name, *(text for run in later for text in (run.name, f"from {first.name}", ""))]
    rows = []
    for line in lines:
        cells = [line.metric, line.values[0].show(line.metric)]
        for value, difference in zip(line.values[1:], line.differences, strict=True):
            cells += [value.show(line.metric), difference.show(line.metric, sign=True), difference.flag(line.metric)]
        rows.append(cells)
    click.echo(f"arm {arm}, mean [95 % interval over queries], shares in percent")
    print_table(columns, rows, count=False)
    for number, run in enumerate(later):
        worse = [line.metric for line in lines if line.differences[number].flag(line.metric) == "WORSE"]
        paired = {line.differences[number].paired for line in lines} - {None}
        how = " and ".join(sorted({"over the same queries" if item else "over other queries" for item in paired}))
        click.echo(f"{run.name}: {'worse in ' + ', '.join(worse) if worse else 'nothing got worse'} ({how})")
