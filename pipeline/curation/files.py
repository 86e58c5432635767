"""Opens a file of raw queries as a table: CSV, JSON, JSONL, Parquet, Excel or text, each mistake with its place."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipeline.curation.sheets import read_sheet
from pipeline.runtime.io import DataError
from pipeline.text.delimiters import DELIMITERS, find_delimiter
from pipeline.text.incoming_bytes import read_lines, read_text, strip_packing
from pipeline.text.ready_records import refuse_twice_named

if TYPE_CHECKING:
    import polars as pl

TEXT = "text"
"""The one column of a file that holds bare strings."""

JSON_START = re.compile(r"\{\s*\"|\[\s*[\[{\"]")
HEADER_NAMES = {"prompt", "query", "text"}
NAME = re.compile(r"[\w .-]{1,40}")
"""What a text file must not begin with: a query is neither JSON nor a header."""

FRAME = 1 << 16
"""Rows of a Parquet file that are read at once. Ours."""


@dataclass(frozen=True)
class RecordTable:
    """Column names, and a reader of records with at least those asked for; an item that is no dict is a fault."""

    names: Sequence[str]
    records: Callable[[Sequence[str]], Iterator[object]]


@dataclass(frozen=True)
class FrameTable:
    """Column names, and a reader of polars frames with those asked for: a file that lies in columns."""

    names: Sequence[str]
    frames: Callable[[Sequence[str]], Iterator[pl.DataFrame]]


Table: TypeAlias = RecordTable | FrameTable


def open_table(path: Path) -> Table:
    """Return the table in `path`, by the name's ending. Raises DataError for a file that cannot be read.

    Text may be packed by gzip: prompts.csv.gz.
    """
    readers: dict[str, Callable[[Path], Table]] = {
        ".csv": _open_csv,
        ".json": _open_json,
        ".jsonl": _open_jsonl,
        ".ndjson": _open_jsonl,
        ".parquet": _open_parquet,
        ".tsv": _open_csv,
        ".txt": _open_text,
        ".xlsx": _open_excel,
    }
    if path.is_dir():
        raise DataError(f"{path}: a folder; queries.path must name one file in it")
    if not path.exists():
        raise DataError(_describe_missing(path))
    ending = strip_packing(path).suffix.lower()
    if ending not in readers:
        raise DataError(f"{path}: its name must end in {', '.join(sorted(readers))}")
    if strip_packing(path) != path and ending in (".parquet", ".xlsx"):
        raise DataError(f"{path}: unpack it first (`gunzip`): {ending} is packed inside already")
    if not path.stat().st_size:
        raise DataError(f"{path}: an empty file; it holds no queries")
    return readers[ending](path)


@contextlib.contextmanager
def guard_file(path: Path) -> Iterator[str]:
    """Give the SHA-256 of a file; raises DataError when the file changed while the block read it."""
    try:
        with path.open("rb") as file:
            before = path.stat()
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(_describe_missing(path)) from None
    except OSError as fault:
        raise DataError(f"{path}: cannot be read: {fault.strerror}") from None
    yield digest
    after = path.stat() if path.is_file() else None
    if after is None or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DataError(f"{path}: it changed while it was read; run again when it is complete")


def _describe_missing(path: Path) -> str:
    return f"{path}: no such file; set queries.path to a file, or queries.source to synthetic"


def _open_csv(path: Path) -> RecordTable:
    rows = _read_csv_rows(path)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: no header line; it holds no queries")
    names = first[1]

    def iterate(columns: Sequence[str]) -> Iterator[object]:
        for number, values in rows:
            if len(values) == len(names):
                yield dict(zip(names, values, strict=True))
            elif values:
                yield f"line {number}: {len(values)} fields where the header has {len(names)}"

    return RecordTable(names, iterate)


def _read_csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    before = csv.field_size_limit(1 << 30)  # a query longer than 128 kB is to leave with a reason, not with a crash
    delimiter, skipped = find_delimiter(path, read_lines)
    lines = itertools.islice(read_lines(path), skipped, None)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    started = 1 + skipped
    try:
        for values in reader:
            yield started, values
            started = reader.line_num + 1 + skipped
    except csv.Error as fault:
        if "new-line character" in str(fault):
            raise DataError(
                f"{path}: a line ends in a carriage return alone (line {started}), as old Macs wrote it; convert it: "
                r"`tr '\r' '\n' < OLD > NEW`"
            ) from None
        raise DataError(
            f"{path}: broken CSV in the row that starts at line {started} ({fault}); "
            'a quoted field needs both quotes, and a quote inside is written ""'
        ) from None
    finally:
        csv.field_size_limit(before)


def _open_json(path: Path) -> RecordTable:
    try:
        items = parse_json(read_text(path))
    except (ValueError, RecursionError) as fault:
        hint = "; one value a line is JSONL: name it .jsonl" if "Extra data" in str(fault) else ""
        raise DataError(f"{path}: not JSON: {fault}{hint}") from None
    if not isinstance(items, list):
        raise DataError(f"{path}: holds {_describe_kind(items)} where a list of strings or objects belongs")
    return _tabulate(path, iter(items))


def _open_jsonl(path: Path) -> RecordTable:
    def items() -> Iterator[object]:
        for number, line in enumerate(read_lines(path), 1):
            if not line.strip():
                continue
            try:
                yield parse_json(line.lstrip("\ufeff"))
            except (ValueError, RecursionError) as fault:
                raise DataError(f"{path}:{number}: not JSON: {fault}") from None

    return _tabulate(path, items())


def _open_text(path: Path) -> RecordTable:
    def lines() -> Iterator[str]:
        is_first = True
        for line in read_lines(path):
            if is_first and line.strip():
                _refuse_table(path, line.strip())
                is_first = False
            yield from line.rstrip("\r\n").split("\r")  # \r alone ended lines on old Macs

    return _tabulate(path, lines())


def _refuse_table(path: Path, first: str) -> None:
    """Raise DataError for a text file whose first line with words is no query, but the start of JSON or of a table."""
    if first in ("{", "[") or JSON_START.match(first):
        raise DataError(f"{path}: it holds JSON: name it .jsonl (one value a line) or .json")
    for delimiter in DELIMITERS:
        fields = [field.strip(' "').casefold() for field in first.split(delimiter)]
        if len(fields) > 1 and {*fields} & HEADER_NAMES and all(NAME.fullmatch(field) for field in fields):
            raise DataError(f"{path}: its first line is the header of a table: name it .csv or .tsv")


def _open_excel(path: Path) -> RecordTable:
    rows = read_sheet(path)
    names = next(rows, None)
    if names is None:
        raise DataError(f"{path}: no header row; it holds no queries")

    def iterate(columns: Sequence[str]) -> Iterator[object]:
        for values in rows:
            if any(value is not None for value in values):
                yield dict(zip(names, values, strict=True))

    return RecordTable([str(name) for name in names], iterate)


def parse_json(text: str) -> object:
    """Return the value of JSON. Raises ValueError, also for an object with two values for one key."""
    return json.loads(text, object_pairs_hook=refuse_twice_named)


def _tabulate(path: Path, items: Iterator[object]) -> RecordTable:
    try:
        first = next(items)
    except StopIteration:
        raise DataError(f"{path}: holds no queries") from None
    names = list(first) if isinstance(first, dict) else [TEXT]

    def iterate(columns: Sequence[str]) -> Iterator[object]:
        for number, item in enumerate(itertools.chain([first], items), 1):
            if isinstance(item, str):
                yield {TEXT: item}
            else:
                yield (
                    item
                    if isinstance(item, dict)
                    else f"item {number}: {_describe_kind(item)}, not a string or an object"
                )

    return RecordTable(names, iterate)


def _describe_kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number")


def _open_parquet(path: Path) -> FrameTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as fault:
        raise DataError(
            f"{path}: not a whole Parquet file ({_get_first_line(fault)}); copy or download it again"
        ) from None
    if not file.metadata.num_rows:
        raise DataError(f"{path}: holds no queries")

    def read_frames(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        import polars as pl

        try:
            for batch in file.iter_batches(batch_size=FRAME, columns=list(columns)):
                batch.validate(full=True)  # polars takes it for granted that text is UTF-8
                yield pl.DataFrame(pl.from_arrow(batch)).with_columns(pl.col(pl.Categorical).cast(pl.String))
        except (pa.ArrowException, OSError) as fault:
            raise DataError(f"{path}: damaged Parquet ({_get_first_line(fault)}); copy or download it again") from None

    return FrameTable(file.schema_arrow.names, read_frames)


def _get_first_line(fault: Exception) -> str:
    return str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
