"""Writes what `queries` makes: three splits, the dropped rows and the metrics, together or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.curation.plots import Table, tabulate_funnel, write_plots
from pipeline.runtime.io import ROWS_A_GROUP, DataError, replacing, replacing_folder, write_json, write_rows
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.progress import progress
from pipeline.runtime.stage_output import metrics_path
from schemas.queries import Query, QueryDropped

if TYPE_CHECKING:
    import polars as pl


@dataclass
class Outputs:
    """What a run makes: rows, the frame of dropped rows with the columns of QueryDropped, more metrics, and tables.

    `units_in` counts the raw rows that were read, apart from what became of them.
    """

    units_in: int = 0
    rows: list[Query] = field(default_factory=list)
    dropped: pl.DataFrame | None = None
    report: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)

    def count_in(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Pass frames on, count their rows, and show now and then how many have been read."""
        with progress("queries") as show:
            for frame in frames:
                self.units_in += len(frame)
                yield frame
                show(self.units_in, None)

    def count_reasons(self) -> dict[str, int]:
        """Return reason -> dropped rows, by the reason's name."""
        if self.dropped is None:
            return {}
        return dict(self.dropped["reason"].value_counts().sort("reason").iter_rows())

    def metrics(self) -> dict[str, Any]:
        """Return the metrics of the stage; units are raw rows."""
        dropped = self.count_reasons()
        return {
            "units_in": self.units_in,
            "units_done": len(self.rows),
            "units_dropped": sum(dropped.values()),
            "rows": len(self.rows),
            "dropped": dropped,
            **self.report,
        }


@contextmanager
def write_splits(outs: dict[str, Path]) -> Iterator[Outputs]:
    """Give Outputs; when the block ends well, put the splits, the dropped rows and the metrics in place, all together.

    `outs` has a path for each split. Raises DataError when no query is left, or when raw rows vanished.
    """
    folder = outs["sft"].parent
    if len(set(outs.values())) < 3 or any(out.parent != folder for out in outs.values()):
        raise DataError(f"{', '.join(map(str, outs.values()))}: the splits are three files in one folder")
    metrics = metrics_path(folder.with_suffix(".jsonl"))
    with ExitStack() as stack:
        for out in outs.values():
            stack.enter_context(hold_lock(out))
        made = Outputs()
        yield made
        counts = made.metrics()
        if not counts["units_in"]:
            raise DataError("the source holds no queries; nothing is written")
        if counts["units_in"] != len(made.rows) + counts["units_dropped"]:
            raise DataError(
                f"{folder}: {counts['units_in']} raw rows came in, {len(made.rows)} went on and "
                f"{counts['units_dropped']} were dropped: some vanished; nothing is written"
            )
        if not made.rows:
            raise DataError(
                f"none of {counts['units_in']} raw queries is left: {counts['dropped']}; nothing is written"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(".queries.*.tmp"):  # left by a run that was killed while it wrote
            shutil.rmtree(stale, ignore_errors=True)
        whole = folder / f".queries.{os.getpid()}.tmp"
        stack.callback(shutil.rmtree, whole, ignore_errors=True)
        for split, out in outs.items():
            write_rows(whole / out.name, [row for row in made.rows if row.split == split], Query)
        if made.dropped is not None:
            write_dropped(whole / "queries_dropped.parquet", made.dropped)
        for path in sorted(whole.iterdir()):
            os.replace(path, folder / path.name)
        with replacing_folder(metrics.with_suffix("")) as plots:
            write_plots(plots, {"funnel": tabulate_funnel(counts["units_in"], counts["dropped"]), **made.tables})
        write_json(metrics, counts)
        click.echo(f"  queries: {json.dumps(counts, ensure_ascii=False)[:300]}", err=True)


def write_dropped(path: Path, dropped: pl.DataFrame) -> None:
    """Write a frame with the columns of QueryDropped as zstd Parquet, as pipeline.runtime.io writes rows.

    But for dictionaries of ids and texts: no two of them are alike, and to find that out costs a quarter of the time.
    Group by group: a copy of a million texts at once costs more time for its memory than for the work.
    """
    import pyarrow.parquet as pq

    from pipeline.runtime.arrow import arrow_schema

    schema = arrow_schema(QueryDropped)
    rows = dropped.select(schema.names)
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(
            temporary, schema, compression="zstd", write_page_index=True, use_dictionary=["reason", "detail"]
        ) as writer,
    ):
        for group in rows.iter_slices(ROWS_A_GROUP):
            writer.write_table(group.to_arrow().cast(schema), ROWS_A_GROUP)
