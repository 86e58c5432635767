"""Reads raw queries as frames: from the offline world's corpus, a file or a Hub dataset."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.curation.files import FrameTable, RecordTable, Table, open_table
from pipeline.curation.hub import open_hub
from pipeline.runtime.io import DataError
from pipeline.runtime.terminal import make_visible
from pipeline.text.clean import INVISIBLE
from pipeline.text.incoming_bytes import make_writable
from schemas.params import QueriesParams

if TYPE_CHECKING:
    import polars as pl

QUERY_COLUMNS = ("prompt", "query", "text")
ID_COLUMNS = ("uuid", "id", "source_id")
# VidProM's Detoxify probabilities; `unsafe_score` is our own corpus's name for the largest of them
# and prompt_nsfw is DiffusionDB's; its image_nsfw is of the picture, not of the words
SCORE_COLUMNS = (
    "toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit", "prompt_nsfw", "unsafe_score",
)  # fmt: skip
LIKE_A_SCORE = re.compile(r"nsfw|toxic|unsafe|safety|obscen|insult|threat|harm|hate|sexual|violen|profan")
DECIMAL_COMMA = re.compile(r"\d*,\d+")
BATCH = 8192
"""Records that become one frame. Ours."""


@dataclass(frozen=True, slots=True)
class Raw:
    """One row of a source: its text, or in `fault` why there is none."""

    source_id: str
    text: str | None = None
    time: str | None = None
    unsafe_score: float | None = None
    fault: str | None = None


def to_frame(raws: Iterable[Raw]) -> pl.DataFrame:
    """Return a frame of raw rows, its columns named as the fields."""
    import polars as pl

    text = pl.String
    schema = {"source_id": text, "text": text, "time": text, "unsafe_score": pl.Float64, "fault": text}
    return pl.DataFrame([astuple(raw) for raw in raws], schema=schema, orient="row")


def name_source(params: QueriesParams) -> str:
    """Return the name of the source that rows carry; no folder of the machine it was read on."""
    if params.source == "file":
        return Path(get_path(params)).name
    return params.path or params.source


def get_path(params: QueriesParams) -> str:
    """Return queries.path of source file or hub; the params class has checked that it is set."""
    assert params.path is not None
    return params.path


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a source by their meaning."""

    query: str
    name: str | None
    scores: Sequence[str]
    time: str | None

    @property
    def names(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys(name for name in (self.query, self.name, *self.scores, self.time) if name))


def read_frames(params: QueriesParams, corpus: Iterable[dict[str, Any]] = ()) -> Iterator[pl.DataFrame]:
    """Yield frames of the raw rows that `params` names, `params.limit` at most, in their order.

    `corpus` holds the records of source synthetic. Raises DataError when nothing can be read.
    """
    table = _open_source(params, corpus)
    columns = _choose_columns(table, params)
    if isinstance(table, FrameTable):
        position, left = 0, params.limit or math.inf
        for batch in table.frames(columns.names):
            if left <= 0:
                break
            batch = batch.head(min(left, len(batch)))
            yield _convert_frame(batch, position, columns)
            position, left = position + len(batch), left - len(batch)
        return
    strange: dict[str, None] = {}
    unified = unify_keys(table.records(columns.names), table.names, columns.names, strange)
    records = enumerate(itertools.islice(unified, params.limit))
    while rows := [_read_record(record, position, columns) for position, record in itertools.islice(records, BATCH)]:
        yield to_frame(rows)
    _tell_unread(list(strange), name_source(params))


def unify_keys(
    records: Iterable[object], header: Sequence[str], wanted: Sequence[str], strange: dict[str, None]
) -> Iterator[object]:
    """Yield records with the keys of `wanted` as they are spelled there; objects of JSON need not spell them alike.

    `header` are the keys that were looked at before. Others that look like a score's are put into `strange`. A record
    with two keys for one becomes a fault.
    """
    by_name = {fold_name(name): name for name in wanted}
    spelled: dict[str, str] = {}
    met = {*header, *wanted}
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            yield record
            continue
        for key in record.keys() - met:
            met.add(key)
            if (name := fold_name(key)) in by_name:
                spelled[key] = by_name[name]
            elif LIKE_A_SCORE.search(name):
                strange[str(key)] = None
        if spelled and (others := record.keys() & spelled.keys()):
            names = [spelled.get(key, key) for key in record]
            if len({*names}) < len(names):
                yield f"item {number}: two of its keys are {spelled[others.pop()]!r} but for case and blanks"
                continue
            record = dict(zip(names, record.values(), strict=True))
        yield record


def _tell_unread(names: Sequence[str], source: str) -> None:
    if names:
        line = (
            f"  queries: {source}: not read as scores of unsafe queries: {_join_names(names)}; rename one to "
            "unsafe_score if it holds probabilities of the text"
        )
        click.echo(make_visible(line), err=True)


def _open_source(params: QueriesParams, corpus: Iterable[dict[str, Any]]) -> Table:
    if params.source == "synthetic":
        names = [*QUERY_COLUMNS[1:2], "source_id", "time", "unsafe_score"]
        return RecordTable(names, lambda columns: iter(corpus))
    if params.source == "file":
        return open_table(Path(get_path(params)))
    assert params.revision is not None  # the params class has checked it
    return open_hub(get_path(params), params.revision)


def _choose_columns(table: Table, params: QueriesParams) -> Columns:
    source = name_source(params)
    query = _find_column(table.names, params.query_column, QUERY_COLUMNS, "query_column", source)
    if query is None:
        raise DataError(
            f"{source}: none of the columns {', '.join(QUERY_COLUMNS)} is there; "
            f"name the query's column in queries.query_column: it has {_join_names(table.names)}"
        )
    if params.id_column == query:
        # an id is written down where a text may not be
        raise DataError(f"{source}: queries.id_column names {query!r}, which holds the query; name another")
    usual = [name for name in ID_COLUMNS if name != fold_name(query)]
    columns = Columns(
        query,
        _find_column(table.names, params.id_column, usual, "id_column", source),
        _find_scores(table, source),
        _find_column(table.names, None, ["time"], "", source),
    )
    if twice := [name for name in columns.names if list(table.names).count(name) > 1]:
        raise DataError(f"{source}: two columns are named {twice[0]!r}; rename one")
    return columns


def fold_name(name: object) -> str:
    """Return a column's name as names are compared: without case, unseen signs, blanks at its ends, with _ inside."""
    return "_".join(INVISIBLE.sub("", str(name)).replace("_", " ").casefold().split())


def _find_scores(table: Table, source: str) -> list[str]:
    """Return the columns of toxicity scores, as the table spells them; of others that look like it, say so."""
    scores = [name for name in table.names if fold_name(name) in SCORE_COLUMNS]
    unread = [str(name) for name in table.names if name not in scores and LIKE_A_SCORE.search(fold_name(name))]
    _tell_unread(unread, source)
    if isinstance(table, RecordTable):
        # the names of a record table are those of its first record, which need not have them all
        folded = {fold_name(name) for name in scores}
        scores += [name for name in SCORE_COLUMNS if name not in folded]
    return scores


def join_frames(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return all frames as one; a source_id that occurs again gets its row's position (from 0) behind it.

    Raises DataError when they hold no rows.
    """
    import polars as pl

    frame = pl.concat([to_frame([]), *frames], how="diagonal")
    if not len(frame):
        raise DataError("the source holds no queries; nothing is written")
    if frame["source_id"].n_unique() == len(frame):
        return frame
    names: dict[str, None] = {}
    for position, name in enumerate(frame["source_id"]):
        if name in names:
            name = f"{name}#{position}"
            while name in names:
                name += f"#{position}"
        names[name] = None
    return frame.with_columns(source_id=pl.Series(list(names), dtype=pl.String))


def _find_column(names: Sequence[str], wanted: str | None, usual: Sequence[str], param: str, source: str) -> str | None:
    """Return the table's name of the column `wanted`, or of the usual ones; the exact name goes first.

    Raises DataError where it is not there, and where several could be meant.
    """
    if wanted is not None and wanted in names:
        return wanted
    folded = [fold_name(wanted)] if wanted is not None else usual
    matching = [name for name in dict.fromkeys(names) if fold_name(name) in folded]
    if wanted is None and param == "id_column":  # any of them names a row: the first in the usual order
        matching = sorted(matching, key=lambda name: folded.index(fold_name(name)))[:1]
    if len(matching) > 1:
        raise DataError(
            f"{source}: {_join_names(matching)} could all be meant; name one in queries.{param or 'query_column'}"
        )
    if wanted is not None and not matching:
        raise DataError(f"{source}: no column {wanted!r} (queries.{param}); it has {_join_names(names)}")
    return matching[0] if matching else None


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(str(name)[:60] for name in names[:30]) + (", ..." if len(names) > 30 else "")


def _convert_frame(batch: pl.DataFrame, position: int, columns: Columns) -> pl.DataFrame:
    """Return the raw rows of a frame of records; those with anything odd are read one by one."""
    import polars as pl

    kinds = batch.schema
    scores = [pl.col(name) for name in columns.scores]
    typed = (
        kinds[columns.query] == pl.String
        and (columns.name is None or kinds[columns.name] == pl.String or kinds[columns.name].is_integer())
        and (columns.time is None or kinds[columns.time] == pl.String)
        and all(kinds[name].is_float() for name in columns.scores)
    )
    if not typed:
        records = enumerate(batch.iter_rows(named=True), position)
        return to_frame(_read_record(record, place, columns) for place, record in records)
    place = (pl.int_range(pl.len()) + position).cast(pl.String)
    name = pl.col(columns.name).cast(pl.String).replace("", None) if columns.name else pl.lit(None, pl.String)
    frame = batch.select(
        source_id=pl.coalesce(name, place),
        text=pl.col(columns.query),
        time=pl.col(columns.time) if columns.time else pl.lit(None, pl.String),
        unsafe_score=pl.max_horizontal(score.fill_nan(None) for score in scores)
        if scores
        else pl.lit(None, pl.Float64),
        fault=pl.lit(None, pl.String),
    ).cast({"unsafe_score": pl.Float64})
    fine = pl.all_horizontal(
        pl.col(columns.query).is_not_null(),
        *(score.is_between(0, 1) | score.is_nan() | score.is_null() for score in scores),
    )
    odd = batch.select(~fine).to_series().arg_true()
    if not len(odd):
        return frame
    rows = to_frame(_read_record(batch.row(row, named=True), position + row, columns) for row in odd)
    order = pl.concat([batch.select(fine).to_series().arg_true(), odd]).arg_sort()
    return pl.concat([frame.filter(batch.select(fine).to_series()), rows])[order]


def _read_record(record: object, position: int, columns: Columns) -> Raw:
    if not isinstance(record, dict):
        return Raw(str(position), fault=str(record))
    name = record.get(columns.name) if columns.name else None
    source_id = make_writable(name) if name not in (None, "") else str(position)
    text = record.get(columns.query)
    if not isinstance(text, str):
        return Raw(source_id, fault=f"{columns.query} is {type(text).__name__}, not text")
    try:
        score = _find_largest_score(record, columns.scores)
    except ValueError as fault:
        return Raw(source_id, fault=str(fault))
    time = record.get(columns.time or "time")
    return Raw(source_id, make_writable(text), None if time is None else make_writable(time), score)


def _find_largest_score(record: dict[str, Any], columns: Sequence[str]) -> float | None:
    """Return the largest of the source's toxicity scores. Raises ValueError for a value that is no probability."""
    values = []
    for column in columns:
        score = record.get(column)
        if score is None or score == "":
            continue
        if isinstance(score, str) and DECIMAL_COMMA.fullmatch(score.strip()):
            score = score.replace(",", ".")
        try:
            value = float(score)
        except OverflowError:
            raise ValueError(f"{column} is a number of {len(str(score))} digits, not between 0 and 1") from None
        except (TypeError, ValueError):
            # in a file with shifted columns this is what a user typed, so it is not repeated
            raise ValueError(f"{column} is text of {len(str(score))} characters, not a number") from None
        if math.isnan(value):
            continue
        if not 0 <= value <= 1:
            raise ValueError(f"{column} is {value}, not between 0 and 1")
        values.append(value)
    return max(values, default=None)
