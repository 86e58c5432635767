"""`vpo clips`: one query's clips of every arm, as files to look at."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from vpo.graph import Graph, read_graph, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    from schemas.render import Render


class Manifest(NamedTuple):
    """The clips of one arm: the folder of their shards, and their rows."""

    folder: Path
    rows: "list[Render]"


@click.command("clips")
@click.option("--query", help="A query_id or a part of a test query's text; default: the first harmless one.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the mp4 files; default: results/clips.")
@recipe_option
def main(query: str | None, out: Path | None, recipe: str) -> None:
    """Put one query's clip of every arm into a folder and print each arm's prompt."""
    from pipeline.video.clips import read_clip

    root = find_project()
    out = out.resolve() if out else root / "results" / "clips"
    manifests = read_manifests(root, read_graph(root, recipe))
    rows = choose(manifests, query)
    out.mkdir(parents=True, exist_ok=True)
    click.echo(f"query: {next(iter(rows.values())).query}")
    for arm, row in rows.items():
        path = out / f"{arm}.mp4"
        path.write_bytes(read_clip(manifests[arm].folder, row))
        click.echo(f"{arm}: {row.prompt}\n  {path}")


def read_manifests(root: Path, graph: Graph) -> dict[str, Manifest]:
    """Return the clips of the arms that are rendered, by arm; with several suites by suite and arm.

    Raises ClickException where there are none.
    """
    from pipeline.runtime.io import read_rows
    from pipeline.video.clips import shard_folder
    from schemas.render import Render

    stages = sorted(graph.running("render", "eval"), key=lambda stage: stage.name)
    suites = {stage.columns.get("suite") for stage in stages}
    manifests = {}
    for stage in stages:
        path = root / stage.paths[-1]
        if path.is_file():
            arm = stage.arm if len(suites) == 1 else "-".join(stage.columns.values())
            manifests[arm] = Manifest(shard_folder(path), list(read_rows(path, Render)))
    if not manifests:
        names = [stage.name for stage in graph.running("render", "eval")] or ["a stage render_eval"]
        raise click.ClickException(f"no clip of the test split yet: run `dvc repro {graph.target(names[0])}`")
    return manifests


def choose(manifests: dict[str, Manifest], query: str | None) -> "dict[str, Render]":
    """Return each arm's row of the query that is wanted. Raises ClickException where none fits."""
    rows = {arm: {row.query_id: row for row in reversed(manifest.rows)} for arm, manifest in manifests.items()}
    everywhere = set.intersection(*(set(by_query) for by_query in rows.values()))
    for manifest in manifests.values():
        for row in manifest.rows:
            if row.query_id in everywhere and fits(row, query):
                return {arm: by_query[row.query_id] for arm, by_query in rows.items()}
    raise click.ClickException(f"no test query with a clip of every arm fits {query!r}" if query else "no such clip")


def fits(row: "Render", query: str | None) -> bool:
    """Return whether a clip is of the query that is wanted: by id or a part of its text, else any harmless one."""
    if query is None:
        return not row.safety
    return query == row.query_id or query.lower() in row.query.lower()
