"""Frames that say why raw rows leave, and the rows of QueryDropped made from them.

A frame of drops has the columns row (index among all raw rows), reason, detail, score, and witness: the index, among
the rows that passed the rules, of the row that it leaves for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.curation.arrays import Floats, Ints, UInt64s
from pipeline.curation.filters import FilterResult
from pipeline.curation.normalisation import merge
from pipeline.curation.query_ids import spell_ids
from pipeline.curation.rules import NOT_KEPT
from schemas.reasons import Reason

if TYPE_CHECKING:
    import polars as pl


def make_drops(
    rows: Ints | Sequence[int],
    reason: str | Sequence[str],
    detail: str | Sequence[str] | pl.Series,
    score: Floats | Sequence[float | None] | None = None,
    witness: Ints | Sequence[int | None] | None = None,
) -> pl.DataFrame:
    """Return a frame of drops; a string, and None, stand for all of its rows."""
    import polars as pl

    columns = {"reason": reason, "detail": detail, "score": score, "witness": witness}
    kinds = dict(zip(columns, (pl.String, pl.String, pl.Float64, pl.Int64), strict=True))
    return pl.Series("row", rows, pl.Int64).to_frame().with_columns(
        pl.lit(value, kinds[name]).alias(name)
        if value is None or isinstance(value, str)
        else pl.Series(name, value, kinds[name])
        for name, value in columns.items()
    )  # fmt: skip


def list_refused(filtered: FilterResult) -> pl.DataFrame:
    """Return the drops of the rows that a rule refuses."""
    import polars as pl

    return filtered.refused.select("row", "reason", "detail", "score", witness=pl.lit(None, pl.Int64))


def list_duplicates(source_ids: pl.Series, filtered: FilterResult) -> pl.DataFrame:
    """Return the drops of the rows that repeat or resemble a kept one; `source_ids` has one of each raw row."""
    passed, witnesses = filtered.passed, filtered.witnesses
    gone = np.flatnonzero(~witnesses.kept)
    witness = witnesses.row[gone]
    reason = np.where(witnesses.same[gone], Reason.DUPLICATE.value, Reason.SIMILAR.value).tolist()
    detail = "to " + source_ids.gather(passed[witness])
    return make_drops(passed[gone], reason, detail, witnesses.score[gone], witness)


def describe_drops(frame: pl.DataFrame, drops: pl.DataFrame, query_heads: UInt64s) -> pl.DataFrame:
    """Return the columns of QueryDropped in the source's order; a text that may not be kept is there as a hash alone.

    `frame` has the raw rows, `query_heads` the id (as a number) of each row that passed the rules.
    """
    import polars as pl

    drops = drops.sort("row")
    witness, none = drops["witness"], pl.repeat(None, len(drops), dtype=pl.String, eager=True)
    not_kept = pl.col("reason").is_in([reason.value for reason in NOT_KEPT])
    dropped = drops.with_columns(
        input_id=frame["source_id"].gather(drops["row"]),
        raw=frame["text"].gather(drops["row"]),
        witness_id=merge(witness.is_null(), none, spell_ids(query_heads[_as_index(witness.drop_nulls())])),
    )
    detail = pl.when(pl.col("detail") == "").then(pl.lit("")).otherwise(pl.col("detail") + "; ")
    digest = pl.col("raw").map_elements(lambda text: hashlib.sha256(text.encode()).hexdigest(), return_dtype=pl.String)
    hidden = dropped.select("row", "detail", "raw", "reason").filter(not_kept)
    hidden = hidden.select("row", hashed=detail + "the text is not kept, its SHA-256 is " + digest)
    return dropped.join(hidden, on="row", how="left", maintain_order="left").select(
        "input_id", "reason", pl.coalesce("hashed", "detail").alias("detail"),
        pl.when(~not_kept).then("raw").alias("raw"), "witness_id", "score",
    )  # fmt: skip


def _as_index(column: pl.Series) -> npt.NDArray[np.int64]:
    return column.to_numpy()
