"""Opens a file of raw queries as a table: CSV, JSON, JSONL, Parquet or text, each mistake named with its place."""

import contextlib
import csv
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.io import DataError

TEXT = "text"
"""The one column of a file that holds bare strings."""

END = object()
FRAME = 1 << 16


@dataclass(frozen=True)
class Table:
    """Column names, and the records with at least the wanted ones; what is not a dict here is no record.

    A file that lies in columns gives polars frames in place of records.
    """

    names: Sequence[str]
    records: Callable[[Sequence[str]], Iterator[object]] | None
    frames: Callable[[Sequence[str]], Iterator] | None = None


def open_table(path: Path) -> Table:
    """Return the table in `path`, by the name's ending. Raises DataError for whatever cannot be read."""
    kinds = {
        ".csv": _csv,
        ".tsv": _csv,
        ".json": _json,
        ".jsonl": _jsonl,
        ".ndjson": _jsonl,
        ".parquet": _parquet,
        ".txt": _text,
    }
    if path.is_dir():
        raise DataError(f"{path}: a folder; queries.path must name one file in it")
    if not path.exists():
        raise DataError(_missing(path))
    if path.suffix.lower() not in kinds:
        raise DataError(f"{path}: its name must end in {', '.join(sorted(kinds))}")
    if not path.stat().st_size:
        raise DataError(f"{path}: an empty file; it holds no queries")
    return kinds[path.suffix.lower()](path)


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[str]:
    """Give the SHA-256 of a file; raises DataError when the file changed while the block read it."""
    try:
        with path.open("rb") as file:
            before = path.stat()
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(_missing(path)) from None
    except OSError as fault:
        raise DataError(f"{path}: cannot be read: {fault.strerror}") from None
    yield digest
    after = path.stat() if path.is_file() else None
    if after is None or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DataError(f"{path}: it changed while it was read; run again when it is complete")


def _missing(path: Path) -> str:
    return f"{path}: no such file; set queries.path to a file, or queries.source to synthetic"


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their ends; a byte that is not UTF-8 is named with its position."""
    position = 0
    with path.open("rb") as file:
        start = file.read(400)
        file.seek(0)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff") or start.count(0) > len(start) // 4:
            raise DataError(_not_utf8(path, 0, "it looks like UTF-16", "UTF-16"))
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as fault:
                at = position + fault.start
                raise DataError(_not_utf8(path, at, f"0x{line[fault.start]:02x}, line {number}", "LATIN1")) from None
            yield text.removeprefix("\ufeff") if number == 1 else text
            position += len(line)


def _not_utf8(path: Path, at: int, found: str, encoding: str) -> str:
    return f"{path}: byte {at} is not UTF-8 ({found}); convert it: `iconv -f {encoding} -t UTF-8 OLD > NEW`"


def _csv(path: Path) -> Table:
    rows = _csv_rows(path)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: no header line; it holds no queries")
    names = first[1]

    def records(wanted: Sequence[str]) -> Iterator[object]:
        for number, values in rows:
            if len(values) == len(names):
                yield dict(zip(names, values, strict=True))
            elif values:
                yield f"line {number}: {len(values)} fields where the header has {len(names)}"

    return Table(names, records)


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    before = csv.field_size_limit(1 << 30)  # a query longer than 128 kB is to leave with a reason, not with a crash
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    started = 1
    try:
        for values in reader:
            yield started, values
            started = reader.line_num + 1
    except csv.Error as fault:
        raise DataError(
            f"{path}: broken CSV in the row that starts at line {started} ({fault}); "
            'a quoted field needs both quotes, and a quote inside is written ""'
        ) from None
    finally:
        csv.field_size_limit(before)


def _json(path: Path) -> Table:
    try:
        items = json.loads("".join(_lines(path)))
    except (ValueError, RecursionError) as fault:
        hint = "; one value a line is JSONL: name it .jsonl" if "Extra data" in str(fault) else ""
        raise DataError(f"{path}: not JSON: {fault}{hint}") from None
    if not isinstance(items, list):
        raise DataError(f"{path}: holds {_kind(items)} where a list of strings or objects belongs")
    return _listed(path, iter(items))


def _jsonl(path: Path) -> Table:
    def items() -> Iterator[object]:
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as fault:
                raise DataError(f"{path}:{number}: not JSON: {fault}") from None

    return _listed(path, items())


def _text(path: Path) -> Table:
    return _listed(path, (line.rstrip("\r\n") for line in _lines(path)))


def _listed(path: Path, items: Iterator[object]) -> Table:
    first = next(items, END)
    if first is END:
        raise DataError(f"{path}: holds no queries")
    names = list(first) if isinstance(first, dict) else [TEXT]

    def records(wanted: Sequence[str]) -> Iterator[object]:
        for number, item in enumerate(itertools.chain([first], items), 1):
            if isinstance(item, str):
                yield {TEXT: item}
            else:
                yield item if isinstance(item, dict) else f"item {number}: {_kind(item)}, not a string or an object"

    return Table(names, records)


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number")


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as fault:
        raise DataError(f"{path}: not a whole Parquet file ({_first_line(fault)}); copy or download it again") from None
    if not file.metadata.num_rows:
        raise DataError(f"{path}: holds no queries")

    def frames(wanted: Sequence[str]) -> Iterator:
        import polars as pl

        try:
            for batch in file.iter_batches(batch_size=FRAME, columns=list(wanted)):
                batch.validate(full=True)  # polars takes it for granted that text is UTF-8
                yield pl.DataFrame(pl.from_arrow(batch)).with_columns(pl.col(pl.Categorical).cast(pl.String))
        except (pa.ArrowException, OSError) as fault:
            raise DataError(f"{path}: damaged Parquet ({_first_line(fault)}); copy or download it again") from None

    return Table(file.schema_arrow.names, None, frames)


def _first_line(fault: Exception) -> str:
    return str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
