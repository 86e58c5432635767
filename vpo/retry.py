"""`vpo retry`: asks again for what failed for a reason that another day may mend."""

import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vpo.graph import Graph, read_graph, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    from schemas.params import Params
    from vpo.unroll import Stage


@click.command("retry")
@click.argument("stage", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would be asked again, and stop.")
@recipe_option
def main(stage: str | None, dry_run: bool, recipe: str) -> None:
    """Ask again for what failed for a reason that another day may mend, in STAGE or in all.

    Rows that failed have no answer in the store (the endpoint was away, hung or answered nonsense), so the stage runs
    once more and buys these alone; all others come from the store. Run `dvc repro` behind it.
    """
    from pipeline.runtime.params_file import load_params
    from vpo.why import choose

    root = find_project()
    with chdir(root):
        graph = read_graph(root, recipe)
        params = load_params(graph.params_file)
        stages = choose(graph, stage) if stage else list(graph.stages.values())
        failed = {item.name: count for item in stages if (count := count_mendable(root, item, params))}
        if not failed:
            click.echo("nothing failed that another day may mend")
            return
        for name, count in failed.items():
            click.echo(f"{name}: {count} failed")
            if not dry_run:
                run_again(root, graph, name)
                left = count_mendable(root, graph.stages[name], params)
                click.echo(f"{name}: {count - left} of {count} mended" + (f", {left} failed again" if left else ""))
        if not dry_run:
            click.echo("`dvc repro` takes the stages behind along")


def count_mendable(root: Path, stage: "Stage", params: "Params") -> int:
    """Return how many units a stage that asks a model has dropped for a reason that another day may mend."""
    from pipeline.runtime.io import read_rows
    from schemas.base import Dropped
    from schemas.reasons import MENDABLE
    from schemas.rollout import Rollout
    from vpo.planning.declarations import declaration_of

    files = [root / out for out in stage.outs if out.endswith("_dropped.jsonl") and (root / out).is_file()]
    declaration = declaration_of(stage) if files else None
    if declaration is None or not any(ask.when(params, stage.options) for ask in declaration.asks):
        return 0
    rollouts = [root / out for out in stage.outs if stage.module == "rollout" and (root / out).name == "rollout.jsonl"]
    served = (row.failure in MENDABLE for file in rollouts if file.is_file() for row in read_rows(file, Rollout))
    return sum(served) + sum(row.reason in MENDABLE for file in files for row in read_rows(file, Dropped))


def find_dvc() -> str:
    """Return the dvc of this environment, which need not be on the path."""
    beside = Path(sys.executable).with_name("dvc")
    return str(beside) if beside.exists() else shutil.which("dvc") or "dvc"


def run_again(root: Path, graph: Graph, name: str, dvc: str | Path | None = None) -> None:
    """Run one stage by DVC, as it stands and alone. Raises ClickException where it fails.

    `--force` is for DVC alone: no file changed, and DVC cannot know that a host may answer otherwise today. Nothing is
    bought twice, since every answer that was given comes from the store.
    """
    command = [str(dvc or find_dvc()), "repro", "--force", "--single-item", graph.target(name)]
    if subprocess.run(command, cwd=root, check=False).returncode:
        raise click.ClickException(f"{name} ended with an error, told above; what was bought is kept")
