"""Where raw queries come from: the offline world's corpus, a file or a Hub dataset, all as frames alike."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import regex

from pipeline.curation.files import Table, open_table
from pipeline.curation.hub import open_hub
from pipeline.runtime.io import DataError
from schemas.params import QueriesParams

QUERY_COLUMNS = ("prompt", "query", "text")
ID_COLUMNS = ("uuid", "id", "source_id")
# VidProM's Detoxify probabilities; `unsafe_score` is what our own corpus calls the largest of them
SCORE_COLUMNS = ("toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit", "unsafe_score")
SURROGATE = regex.compile(r"\p{Cs}")
BATCH = 8192


@dataclass(frozen=True, slots=True)
class Raw:
    """One row of a source: its text, or in `fault` why there is none."""

    source_id: str
    text: str | None = None
    time: str | None = None
    unsafe_score: float | None = None
    fault: str | None = None


def framed(raws: Iterable[Raw]):
    """Return a polars frame of raw rows, its columns named as the fields."""
    import polars as pl

    text = pl.String
    schema = {"source_id": text, "text": text, "time": text, "unsafe_score": pl.Float64, "fault": text}
    return pl.DataFrame([astuple(raw) for raw in raws], schema=schema, orient="row")


def source_name(params: QueriesParams) -> str:
    """Return what rows say about where they come from; no folder of the machine it was read on."""
    if params.source == "file":
        return Path(params.path).name
    return params.path or params.source


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a source hold what."""

    query: str
    name: str | None
    scores: Sequence[str]
    time: str | None

    @property
    def wanted(self) -> list[str]:
        return list(dict.fromkeys(name for name in (self.query, self.name, *self.scores, self.time) if name))


def read(params: QueriesParams, corpus: Iterable[dict] = ()) -> Iterator:
    """Yield frames of the raw rows that `params` names, `params.limit` at most, in their order.

    `corpus` holds the records of source synthetic. Raises DataError when nothing can be read.
    """
    if params.source == "synthetic":
        table = Table([*QUERY_COLUMNS[1:2], "source_id", "time", "unsafe_score"], lambda wanted: iter(corpus))
    elif params.source == "file":
        table = open_table(Path(params.path))
    else:
        table = open_hub(params.path, params.revision)
    query = _column(table.names, params.query_column, QUERY_COLUMNS, "query_column", source_name(params))
    if params.id_column == query:
        # an id is written down where a text may not be
        raise DataError(
            f"{source_name(params)}: queries.id_column names {query!r}, which holds the query; name another"
        )
    columns = Columns(
        query,
        _column(
            table.names,
            params.id_column,
            [name for name in ID_COLUMNS if name != query],
            "id_column",
            source_name(params),
        ),
        # the names are those of the first record, which need not have them all
        [column for column in SCORE_COLUMNS if table.frames is None or column in table.names],
        "time" if "time" in table.names else None,
    )
    if twice := [name for name in columns.wanted if list(table.names).count(name) > 1]:
        raise DataError(f"{source_name(params)}: two columns are named {twice[0]!r}; rename one")
    if table.frames is not None:
        position, left = 0, params.limit or math.inf
        for batch in table.frames(columns.wanted):
            if left <= 0:
                break
            batch = batch.head(min(left, len(batch)))
            yield _columnar(batch, position, columns)
            position, left = position + len(batch), left - len(batch)
        return
    records = enumerate(itertools.islice(table.records(columns.wanted), params.limit))
    while rows := [_raw(record, position, columns) for position, record in itertools.islice(records, BATCH)]:
        yield framed(rows)


def gathered(frames: Iterable):
    """Return all frames as one; a source_id that occurs again gets its row's position (from 0) behind it.

    Raises DataError when they hold no rows.
    """
    import polars as pl

    frame = pl.concat([framed([]), *frames], how="diagonal")
    if not len(frame):
        raise DataError("the source holds no queries; nothing is written")
    if frame["source_id"].n_unique() == len(frame):
        return frame
    seen, names = set(), []
    for position, name in enumerate(frame["source_id"]):
        if name in seen:
            name = f"{name}#{position}"
            while name in seen:
                name += f"#{position}"
        seen.add(name)
        names.append(name)
    return frame.with_columns(source_id=pl.Series(names, dtype=pl.String))


def _column(names: Sequence[str], asked: str | None, usual: Sequence[str], param: str, source: str) -> str | None:
    if asked is not None:
        if asked not in names:
            raise DataError(f"{source}: no column {asked!r} (queries.{param}); it has {_listed(names)}")
        return asked
    found = next((name for name in usual if name in names), None)
    if found is None and param == "query_column":
        raise DataError(
            f"{source}: none of the columns {', '.join(usual)} is there; "
            f"name the query's column in queries.query_column: it has {_listed(names)}"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(str(name)[:60] for name in names[:30]) + (", ..." if len(names) > 30 else "")


def _columnar(batch, position: int, columns: Columns):
    """Return the raw rows of a polars frame of records; those with anything odd are read one by one."""
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
        return framed(_raw(record, position + at, columns) for at, record in enumerate(batch.iter_rows(named=True)))
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
    rows = framed(_raw(batch.row(at, named=True), position + at, columns) for at in odd)
    order = pl.concat([batch.select(fine).to_series().arg_true(), odd]).arg_sort()
    return pl.concat([frame.filter(batch.select(fine).to_series()), rows])[order]


def _raw(record: object, position: int, columns: Columns) -> Raw:
    if not isinstance(record, dict):
        return Raw(str(position), fault=str(record))
    given = record.get(columns.name) if columns.name else None
    source_id = written(given) if given not in (None, "") else str(position)
    text = record.get(columns.query)
    if not isinstance(text, str):
        return Raw(source_id, fault=f"{columns.query} is {type(text).__name__}, not text")
    try:
        score = _unsafe_score(record, columns.scores)
    except ValueError as fault:
        return Raw(source_id, fault=str(fault))
    time = record.get("time")
    return Raw(source_id, written(text), None if time is None else written(time), score)


def written(value: object) -> str:
    """Return `value` as text that can be written: JSON can hold half a character, UTF-8 cannot."""
    return SURROGATE.sub("\ufffd", str(value))


def _unsafe_score(record: dict, columns: Sequence[str]) -> float | None:
    """Return the largest of the source's toxicity scores. Raises ValueError for a value that is no probability."""
    values = []
    for column in columns:
        given = record.get(column)
        if given is None or given == "":
            continue
        try:
            value = float(given)
        except OverflowError:
            raise ValueError(f"{column} is a number of {len(str(given))} digits, not between 0 and 1") from None
        except (TypeError, ValueError):
            # in a file with shifted columns this is what a user typed, so it is not repeated
            raise ValueError(f"{column} is text of {len(str(given))} characters, not a number") from None
        if math.isnan(value):
            continue
        if not 0 <= value <= 1:
            raise ValueError(f"{column} is {value}, not between 0 and 1")
        values.append(value)
    return max(values, default=None)
