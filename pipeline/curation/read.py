"""Where raw queries come from: the offline world's corpus, a file or a Hub dataset, all as the same raw rows."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import regex

from pipeline.curation.files import Table, open_table
from pipeline.curation.hub import open_hub
from pipeline.io import DataError
from schemas.params import Queries

QUERY_COLUMNS = ("prompt", "query", "text")
ID_COLUMNS = ("uuid", "id", "source_id")
# VidProM's Detoxify probabilities; `unsafe_score` is what our own corpus calls the largest of them
SCORE_COLUMNS = ("toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit", "unsafe_score")
SURROGATE = regex.compile(r"\p{Cs}")


@dataclass(frozen=True, slots=True)
class Raw:
    """One row of a source: its text, or in `fault` why there is none."""

    source_id: str
    text: str = ""
    time: str | None = None
    unsafe_score: float | None = None
    fault: str = ""


def source_name(params: Queries) -> str:
    """Return what rows say about where they come from; no folder of the machine it was read on."""
    if params.source == "file":
        return Path(params.path).name
    return params.path or params.source


def read(params: Queries, corpus: Iterable[dict] = ()) -> Iterator[Raw]:
    """Yield the raw rows that `params` names, `params.limit` at most; `corpus` holds the records of source synthetic.

    A source_id that occurs again gets its row's position (from 0) behind it. Raises DataError when nothing can be read.
    """
    if params.source == "synthetic":
        table = Table([*QUERY_COLUMNS[1:2], "source_id", "time", "unsafe_score"], lambda wanted: iter(corpus))
    elif params.source == "file":
        table = open_table(Path(params.path))
    else:
        table = open_hub(params.path, params.revision)
    query = _column(table.names, params.query_column, QUERY_COLUMNS, "query_column", source_name(params))
    name = _column(table.names, params.id_column, ID_COLUMNS, "id_column", source_name(params))
    scores = [column for column in SCORE_COLUMNS if column in table.names]
    wanted = dict.fromkeys([query, *([name] if name else []), *scores, *(["time"] if "time" in table.names else [])])
    seen: set[str] = set()
    for position, record in enumerate(itertools.islice(table.records(list(wanted)), params.limit)):
        raw = _raw(record, position, query, name, scores)
        if raw.source_id in seen:
            raw = _renamed(raw, position, seen)
        seen.add(raw.source_id)
        yield raw


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


def _raw(record: object, position: int, query: str, name: str | None, scores: Sequence[str]) -> Raw:
    if not isinstance(record, dict):
        return Raw(str(position), fault=str(record))
    given = record.get(name) if name else None
    source_id = _text(given) if given not in (None, "") else str(position)
    text = record.get(query)
    if not isinstance(text, str):
        return Raw(source_id, fault=f"{query} is {type(text).__name__}, not text")
    try:
        score = _unsafe_score(record, scores)
    except ValueError as fault:
        return Raw(source_id, fault=str(fault))
    time = record.get("time")
    return Raw(source_id, _text(text), None if time is None else _text(time), score)


def _renamed(raw: Raw, position: int, seen: set[str]) -> Raw:
    source_id = f"{raw.source_id}#{position}"
    while source_id in seen:
        source_id += f"#{position}"
    return Raw(source_id, raw.text, raw.time, raw.unsafe_score, raw.fault)


def _text(value: object) -> str:
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
        except (TypeError, ValueError):
            raise ValueError(f"{column} is {str(given)[:40]!r}, not a number") from None
        if math.isnan(value):
            continue
        if not 0 <= value <= 1:
            raise ValueError(f"{column} is {value}, not between 0 and 1")
        values.append(value)
    return max(values, default=None)
