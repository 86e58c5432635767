"""Writes what `queries` makes: three splits, the dropped rows and the metrics, together or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from pipeline.curation.plots import funnel, write_plots
from pipeline.runtime.io import DataError, replacing, replacing_folder, write_json, write_rows
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.stage_output import metrics_path
from schemas.queries import Query, QueryDropped


class Outputs:
    """What a run made: rows, the frame of dropped rows with the columns of QueryDropped, what metrics and plots add."""

    def __init__(self):
        self.units_in = 0
        self.rows: list[Query] = []
        self.dropped = None
        self.extra: dict = {}
        self.plots: dict = {}

    def metrics(self) -> dict:
        counts = self.dropped["reason"].value_counts().sort("reason")
        return {
            "units_in": self.units_in,
            "units_done": len(self.rows),
            "units_dropped": len(self.dropped),
            "rows": len(self.rows),
            "dropped": dict(counts.iter_rows()),
            **self.extra,
        }


@contextmanager
def split_outputs(outs: dict[str, Path]) -> Iterator[Outputs]:
    """Give Outputs; when the block ends well, put the splits, the dropped rows and the metrics in place, all together.

    Raises DataError when no query is left.
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
        if counts["units_in"] != len(made.rows) + len(made.dropped):
            raise DataError(
                f"{folder}: {counts['units_in']} raw rows came in, {len(made.rows)} went on and {len(made.dropped)} "
                "were dropped: some vanished; nothing is written"
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
        write_dropped(whole / "queries_dropped.parquet", made.dropped)
        for path in sorted(whole.iterdir()):
            os.replace(path, folder / path.name)
        with replacing_folder(metrics.with_suffix("")) as plots:
            write_plots(plots, {"funnel": funnel(counts["units_in"], counts["dropped"]), **made.plots})
        write_json(metrics, counts)
        click.echo(f"  queries: {json.dumps(counts, ensure_ascii=False)[:300]}", err=True)


def write_dropped(path: Path, dropped) -> None:
    """Write a polars frame with the columns of QueryDropped as zstd Parquet, as pipeline.runtime.io writes rows.

    But for dictionaries of ids and texts: no two of them are alike, and to find that out costs a quarter of the time.
    """
    import pyarrow.parquet as pq

    from pipeline.runtime.arrow import arrow_schema

    schema = arrow_schema(QueryDropped)
    table = dropped.select(schema.names).to_arrow().cast(schema)
    with replacing(path) as temporary:
        pq.write_table(
            table, temporary, compression="zstd", row_group_size=20_000, write_page_index=True,
            use_dictionary=["reason", "detail"],
        )  # fmt: skip
