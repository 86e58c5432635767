"""`vpo why`: why a stage would run, and what it will buy."""

import json
import math
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vpo.graph import Graph, read_graph, read_lock, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    from vpo.planning.expected import Estimate
    from vpo.planning.reasons import Reasons
    from vpo.unroll import Stage


@click.command("why")
@click.argument("stage")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: stage -> reasons, and what is bought.")
@recipe_option
def main(stage: str, as_json: bool, recipe: str) -> None:
    """Say why a stage would run: which dep, param or code changed, and what it will buy.

    STAGE is a stage such as critique@sft, or critique for all of its lanes. Compared is with the last run, as dvc.lock
    tells it. What changed for stages before it is listed too, since it runs behind them.
    """
    from vpo.planning.changes import read_status, refresh_code

    root = find_project()
    with chdir(root):
        graph = read_graph(root, recipe)
        stages = choose(graph, stage)
        refresh_code(root, graph)
        status = read_status(root, graph)
        if status is None:
            raise click.ClickException("DVC cannot say what has changed: `dvc init` and a first `dvc repro` make it so")
        reasons = explain(root, graph, stages, status)
        bought = {item.stage: item for item in estimate(graph, set(status)) if item.stage in reasons}
    if as_json:
        click.echo(json.dumps(as_data(reasons, bought), ensure_ascii=False, default=str))
        return
    for name, groups in reasons.items():
        click.echo(f"{name}: {'runs' if groups else 'does not run, nothing has changed'}")
        for group in groups:
            behind = "" if group.stage == name else f"behind {group.stage}: "
            for line in group.lines():
                click.echo(f"  {behind}{line}")
        if groups and name in bought:
            click.echo(f"  {describe(bought[name])}")


def choose(graph: Graph, name: str) -> "list[Stage]":
    """Return the stage of a name, or all of an entry of dvc.yaml. Raises ClickException with names that are near."""
    import difflib

    if name in graph.stages:
        return [graph.stages[name]]
    if name in graph.entries:
        return list(graph.entries[name].stages)
    near = difflib.get_close_matches(name, [*graph.stages, *graph.entries], n=3)
    hint = f"; near it: {', '.join(near)}" if near else f"; {graph.file} has {', '.join(graph.entries)}"
    raise click.ClickException(f"no stage {name}{hint}")


def explain(
    root: Path, graph: Graph, stages: "list[Stage]", status: dict[str, list[Any]]
) -> "dict[str, list[Reasons]]":
    """Return for each stage its own reasons to run and those of all before it; [] where it does not run.

    The gate is left out: what it has found stands in its files, which the others depend on.
    """
    from vpo.planning.reasons import find_reasons

    lock = read_lock(root, graph)
    gates = {stage.name for stage in graph.running("params")}
    groups: dict[str, list[Reasons]] = {}
    for stage in stages:
        behind = [name for name in graph.stages if name in graph.before[stage.name] - gates]
        names = [name for name in [stage.name, *behind] if name in status]
        groups[stage.name] = [
            find_reasons(root, graph, graph.stages[name], status[name], lock.get(name, {})) for name in names
        ]
    return groups


def estimate(graph: Graph, changed: set[str]) -> "list[Estimate]":
    """Return what the stages that ask a teacher or judge would buy, from the project's root."""
    from pipeline.runtime.params_file import load_params
    from pipeline.runtime.store import Store
    from vpo.planning.estimate import Planner

    return Planner(load_params(graph.params_file), Store(), changed, graph).estimates()


def describe(item: "Estimate") -> str:
    """Return what a stage will buy, in one line."""
    if math.isnan(item.to_buy):
        return f"{item.seam} {item.model}: what it will buy is unknown, no plan can count it"
    if not item.paid:
        return f"{item.seam} {item.model}: nothing is bought"
    money = "at a price that is unknown" if item.usd is None else f"${item.usd:.2f}"
    return f"{item.seam} {item.model}: {item.to_buy:.0f} calls to buy, {money}; {item.in_store:.0f} in the store"


def as_data(reasons: "dict[str, list[Reasons]]", bought: "dict[str, Estimate]") -> dict[str, dict[str, Any]]:
    """Return what --json prints."""
    from vpo.planning.numbers import without_nan

    return {
        name: {
            "runs": bool(groups),
            "reasons": [asdict(group) for group in groups],
            "buys": without_nan(asdict(bought[name])) if groups and name in bought else None,
        }
        for name, groups in reasons.items()
    }
