"""`vpo clips`: one query's clips of every arm, as files to look at."""

from pathlib import Path

import click

from vpo.project import find_project


@click.command("clips")
@click.option("--query", help="A query_id or a part of a test query's text; default: the first harmless one.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the mp4 files; default: results/clips.")
def main(query, out):
    """Put one query's clip of every arm into a folder and print each arm's prompt."""
    root = find_project()
    out = out.resolve() if out else root / "results" / "clips"
    found = by_arm(root)
    shown = chosen(found, query)
    out.mkdir(parents=True, exist_ok=True)
    click.echo(f"query: {next(iter(shown.values()))[1].query}")
    for arm, (folder, row) in shown.items():
        from pipeline.video.clips import read_clip

        path = out / f"{arm}.mp4"
        path.write_bytes(read_clip(folder, row))
        click.echo(f"{arm}: {row.prompt}\n  {path}")


def by_arm(root: Path) -> dict[str, tuple[Path, list]]:
    """Return arm -> (folder of its shards, its manifest), for the arms that are rendered."""
    from pipeline.runtime.io import read_rows
    from pipeline.video.clips import shard_folder
    from schemas.render import Render

    manifests = sorted(root.glob("data/eval/**/render.parquet"))
    if not manifests:
        raise click.ClickException("no clip of the test split yet: run `dvc repro render_eval@test-original`")
    return {path.parent.name: (shard_folder(path), list(read_rows(path, Render))) for path in manifests}


def chosen(found: dict, query: str | None) -> dict[str, tuple]:
    """Return arm -> (folder, manifest row) of the query asked for. Raises ClickException where none fits."""
    rows = {arm: {row.query_id: row for row in reversed(manifest)} for arm, (_, manifest) in found.items()}
    everywhere = set.intersection(*(set(by_query) for by_query in rows.values()))
    for _, manifest in found.values():
        for row in manifest:
            asked = (
                not row.safety if query is None else query in (row.query_id, "") or query.lower() in row.query.lower()
            )
            if asked and row.query_id in everywhere:
                return {arm: (found[arm][0], rows[arm][row.query_id]) for arm in found}
    raise click.ClickException(f"no test query with a clip of every arm fits {query!r}" if query else "no such clip")
