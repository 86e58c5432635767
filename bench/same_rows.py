"""Compares the rows of two runs of the graph: `python -m bench.same_rows FOLDER [--write FILE | --against FILE]`.

FOLDER is a project that has been run. Without an option a line `path hash rows` is printed for every row file. Equal
are runs whose rows say the same: the hash of an offline backend's source, the ids of clips and store keys that contain
it, the place of a clip in a shard and the order of rows are left out; `frames_hash` and the bytes of clips are not.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

Values = dict[str, Any]
Reference = dict[str, dict[str, Any]]
"""`rows`: path -> {rows, columns: name -> hash, frames}; `counts`: path -> a stage's units"""

LEFT_OUT = ("store_key", "shard", "offset", "size")
"""Columns that contain an offline backend's hash, or the length of what does."""
WRITER = ("backend", "model", "revision", "template")
COUNTS = ("units_in", "units_done", "units_dropped", "dropped")
KEYS = ("query_id", "sample", "arm", "replicate", "reward", "input_id", "source", "metric", "versus")
"""Rows are sorted by those of these columns that they have, then by all they hold."""


def normalise(value: Any, clips: Mapping[str, str]) -> Any:
    """Return a row, or a part of one, without what hangs on the code's hash; `clips` names each clip by its prompt."""
    if isinstance(value, list):
        return [normalise(item, clips) for item in value]
    if isinstance(value, dict):
        if {"backend", "model", "revision"} <= value.keys():
            return writer(value)
        return {name: normalise(item, clips) for name, item in value.items() if name not in LEFT_OUT}
    return clips.get(value, value) if isinstance(value, str) else value


def writer(by: Values) -> Values:
    """Return who wrote a row; an offline backend has its name where others have a revision."""
    kept = {name: by.get(name) for name in WRITER}
    if str(by["backend"]).startswith("offline"):
        kept["revision"] = f"{by['backend']}/{by['model']}"
    return kept


def digest(values: Iterable[Any]) -> str:
    """Return 16 hex digits over JSON values in their order."""
    text = json.dumps(list(values), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def describe(rows: Iterable[Values], clips: Mapping[str, str], columns: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the number of `rows`, the hash of each column and of all frames; `columns` None: those the rows have."""
    plain = [normalise(row, clips) for row in rows]
    names = sorted({name for row in plain for name in row}) if columns is None else sorted(columns)
    kept = [{name: row.get(name) for name in names} for row in plain]
    kept.sort(key=lambda row: json.dumps([[row.get(name) for name in KEYS], row], sort_keys=True))
    described: dict[str, Any] = {
        "rows": len(kept),
        "columns": {name: digest(row[name] for row in kept) for name in names},
    }
    if "frames_hash" in names:
        described["frames"] = digest(sorted(row["frames_hash"] for row in kept))
    return described


def key_of(path: Path, folder: Path) -> str:
    """Return a file's name in the reference: the evaluation's files are those of suite `test`, in a folder or not."""
    return path.relative_to(folder).as_posix().replace("/eval/test/", "/eval/", 1)


def row_files(folder: Path) -> dict[str, Path]:
    """Return every row file of a project but the raw ones, by its name in the reference."""
    data = folder / "data"
    paths = [path for ending in ("jsonl", "parquet") for path in data.rglob(f"*.{ending}")]
    return {key_of(path, folder): path for path in sorted(paths) if data / "raw" not in path.parents}


def read(path: Path) -> list[Values]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def clip_names(files: Mapping[str, Path]) -> dict[str, str]:
    """Return `clip of <prompt_id> with seed <seed>` by video_id, of every clip of a project."""
    manifests = [path for path in files.values() if path.name == "render.parquet"]
    rows = [row for path in manifests for row in read(path)]
    return {row["video_id"]: f"clip of {row['prompt_id']} with seed {row['seed']}" for row in rows}


def stage_counts(folder: Path) -> dict[str, Values]:
    """Return how many units each stage took, finished and dropped, by the name of its metrics file."""
    counts = {}
    for path in sorted((folder / "results").rglob("*.json")):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if "units_in" in metrics:
            counts[key_of(path, folder)] = {name: metrics.get(name) for name in COUNTS}
    return counts


def describe_project(folder: Path, reference: Reference | None = None) -> Reference:
    """Return what `reference` holds of another run, over its files and columns; None: over all that there are."""
    files = row_files(folder)
    clips = clip_names(files)
    wanted = reference["rows"] if reference else dict.fromkeys(files)
    rows = {
        key: describe(read(files[key]), clips, known["columns"] if known else None)
        for key, known in wanted.items()
        if key in files
    }
    counts = stage_counts(folder)
    return {
        "rows": rows,
        "counts": {key: counts[key] for key in (reference["counts"] if reference else counts) if key in counts},
    }


def differences(reference: Reference, other: Reference) -> list[str]:
    """Return a line for everything of `reference` that `other` lacks or has otherwise."""
    lines = []
    for part in ("rows", "counts"):
        for key, before in reference[part].items():
            after = other[part].get(key)
            if after is None:
                lines.append(f"{key}: is missing")
            elif after != before:
                lines.append(f"{key}: {', '.join(changed(before, after))}")
    return lines


def changed(before: Values, after: Values) -> list[str]:
    columns = before.get("columns", {})
    names = [f"column {name}" for name in columns if after["columns"][name] != columns[name]]
    others = [name for name in before if name != "columns" and after[name] != before[name]]
    return [f"{name} was {before[name]}, is {after[name]}" for name in others] + names


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="Write the reference of this run.")
@click.option("--against", type=click.Path(exists=True, path_type=Path), help="Compare this run with a reference.")
def main(folder: Path, write: Path | None, against: Path | None) -> None:
    """Say what the row files of a project hold, whatever the code's hash."""
    if against:
        reference = json.loads(against.read_text(encoding="utf-8"))
        if lines := differences(reference, describe_project(folder, reference)):
            raise click.ClickException("\n".join([f"{len(lines)} files differ from {against}", *lines]))
        click.echo(f"{len(reference['rows'])} row files and {len(reference['counts'])} counts are as in {against}")
        return
    described = describe_project(folder)
    if write:
        write.write_text(json.dumps(described, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for key, file in sorted(described["rows"].items()):
        click.echo(f"{key} {digest([file])} {file['rows']}")
    for key, counts in sorted(described["counts"].items()):
        click.echo(f"{key} {digest([counts])}")


if __name__ == "__main__":
    main()
