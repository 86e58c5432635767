"""`vpo clips`: one query's clips of every arm, or the two of a pair, as files to look at."""

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from pipeline.runtime.terminal import make_visible
from vpo.graph import Graph, read_graph, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    from schemas.base import Pair
    from schemas.render import Render


class Manifest(NamedTuple):
    """The clips of one arm: the folder of their shards, and their rows."""

    folder: Path
    rows: "list[Render]"


@click.command("clips")
@click.argument("pair_id", required=False)
@click.option("--query", help="A query_id or a part of a test query's text; default: the first harmless one.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the mp4 files; default: results/clips/<id>.")
@recipe_option
def main(pair_id: str | None, query: str | None, out: Path | None, recipe: str) -> None:
    """Put one query's clip of every arm, or those of a pair, into a folder and print each prompt.

    With a PAIR_ID of d_video or d_dpo: the chosen and the rejected clip, and both side by side. A file that is there
    and holds another clip is never overwritten: the new one gets a number.
    """
    from pipeline.video.clips import read_clip

    if pair_id and query:
        raise click.UsageError("a PAIR_ID or --query, not both")
    root = find_project()
    graph = read_graph(root, recipe)
    if pair_id:
        pair = find_pair(root, graph, pair_id)
        contents = read_sides(root, graph, pair)
        folder = out.resolve() if out else root / "results" / "clips" / pair_id
        click.echo(
            f"{make_visible(f'query: {pair.query}')}\nrule: {pair.rule}\ndecided by: {', '.join(pair.decided_by)}"
        )
        for side, content in contents.items():
            prompt, score = getattr(pair, side, ""), getattr(pair, f"score_{side}", None)
            scored = "" if score is None else f" (score {score:.3f})"
            click.echo(
                make_visible(f"{side}{scored}: {prompt}".rstrip(": ")) + f"\n  {write_beside(folder, side, content)}"
            )
        return
    manifests = read_manifests(root, graph)
    rows = choose(manifests, query)
    first = next(iter(rows.values()))
    folder = out.resolve() if out else root / "results" / "clips" / first.query_id
    click.echo(make_visible(f"query: {first.query}"))
    for arm, row in rows.items():
        path = write_beside(folder, arm, read_clip(manifests[arm].folder, row))
        click.echo(f"{arm}: {make_visible(row.prompt)}\n  {path}")


def write_beside(folder: Path, name: str, content: bytes) -> Path:
    """Write a clip as <name>.mp4, or <name>-2.mp4 and so on where another clip lies there; return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = folder / (f"{name}.mp4" if number == 1 else f"{name}-{number}.mp4")
        if not path.exists():
            path.write_bytes(content)
            return path
        if path.read_bytes() == content:
            return path
    raise AssertionError("there is no end of numbers")


def find_pair(root: Path, graph: Graph, pair_id: str) -> "Pair":
    """Return a pair by its id. Raises ClickException where no stage has it."""
    from pipeline.runtime.io import read_rows
    from schemas.base import Pair

    for module in ("d_video", "d_dpo"):
        for stage in graph.running(module):
            path = root / stage.outs[0]
            if path.is_file():
                for row in read_rows(path, Pair):
                    if row.pair_id == pair_id:
                        return row
    raise click.ClickException(f'no pair {pair_id}; `vpo sql "select pair_id, query from d_dpo limit 9"` lists some')


def read_sides(root: Path, graph: Graph, pair: "Pair") -> dict[str, bytes]:
    """Return the clips of a pair: chosen, rejected and side_by_side. Raises ClickException where it has none."""
    from pipeline.runtime.io import read_rows
    from pipeline.video.clips import read_clip, shard_folder
    from schemas.render import Render

    clips: dict[str, bytes] = {}
    for stage in (*graph.running("render", "dpo"), *graph.running("render", "unchecked")):
        path = root / stage.paths[-1]
        for row in read_rows(path, Render) if path.is_file() else ():
            for side, prompt_id in (("chosen", pair.chosen_id), ("rejected", pair.rejected_id)):
                if row.prompt_id == prompt_id and not row.replicate:
                    clips[side] = read_clip(shard_folder(path), row)
    if missing := [side for side in ("chosen", "rejected") if side not in clips]:
        raise click.ClickException(
            f"pair {pair.pair_id} is of {pair.source} feedback, and there is no clip of {' and '.join(missing)}\n"
            f"rule: {pair.rule}\ndecided by: {', '.join(pair.decided_by)}\n"
            f"chosen: {pair.chosen}\nrejected: {pair.rejected}"
        )
    return {side: clips[side] for side in ("chosen", "rejected")} | {"side_by_side": join(*clips.values())}


def join(left: bytes, right: bytes) -> bytes:
    """Return one clip of two, beside each other, as long as the shorter; black fills what the smaller lacks."""
    import numpy as np

    from pipeline.video.clips import decode, encode, rate

    frames = [decode(left), decode(right)]
    length, height = min(map(len, frames)), max(item.shape[1] for item in frames)
    padded = [np.pad(item[:length], ((0, 0), (0, height - item.shape[1]), (0, 0), (0, 0))) for item in frames]
    return encode(np.concatenate(padded, axis=2), rate(left))


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
