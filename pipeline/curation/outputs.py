"""Writes what `queries` makes: three splits, the dropped rows and the metrics, together or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.io import DataError, Writer, beside, locked, write_json, write_rows
from schemas.queries import Query, QueryDropped


@contextmanager
def split_outputs(outs: dict[str, Path]) -> Iterator[Writer]:
    """Give a Writer; when the block ends well, put the splits, the dropped rows and the metrics in place, all together.

    Raises DataError when no query is left, or when one vanished.
    """
    folder = outs["sft"].parent
    if len(set(outs.values())) < 3 or any(out.parent != folder for out in outs.values()):
        raise DataError(f"{', '.join(map(str, outs.values()))}: the splits are three files in one folder")
    metrics = beside(folder.with_suffix(".jsonl"))[1]
    with ExitStack() as stack:
        for out in outs.values():
            stack.enter_context(locked(out))
        rows, dropped = [], []
        writer = Writer(Query, "queries", rows.append, dropped.append)
        yield writer
        counts = writer.metrics()
        if not writer.units_in:
            raise DataError("the source holds no queries; nothing is written")
        if not rows:
            raise DataError(f"none of {writer.units_in} raw queries is left: {counts['dropped']}; nothing is written")
        writer.refuse_losses(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(".queries.*.tmp"):  # left by a run that was killed while it wrote
            shutil.rmtree(stale, ignore_errors=True)
        whole = folder / f".queries.{os.getpid()}.tmp"
        stack.callback(shutil.rmtree, whole, ignore_errors=True)
        for split, out in outs.items():
            write_rows(whole / out.name, [row for row in rows if row.split == split], Query)
        write_rows(whole / "queries_dropped.parquet", dropped, QueryDropped)
        for path in sorted(whole.iterdir()):
            os.replace(path, folder / path.name)
        write_json(metrics, counts)
