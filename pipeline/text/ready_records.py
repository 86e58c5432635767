"""The records of a ready set's file: a JSON list, one JSON value a line, or Parquet, also packed by gzip."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.runtime.io import DataError
from pipeline.text.incoming_bytes import make_writable, read_text, strip_packing

NAMES = "a JSON, JSONL or Parquet file"


class TwiceNamed(ValueError):
    """An object of JSON with two values for one key, of which Python would keep the last in silence."""


def read_records(path: str) -> Iterator[tuple[int, Any]]:
    """Yield (number, from 1; record) of a file; half characters of JSON become U+FFFD, and NUL goes.

    Raises DataError for a file that cannot be read or holds no record.
    """
    file = Path(path)
    if file.is_dir():
        raise DataError(f"{path}: a folder; name {NAMES} in it")
    if not file.exists():
        raise DataError(f"{path}: No such file; name {NAMES}")
    empty = True
    for number, record in enumerate(_read_parquet(file) if file.suffix.lower() == ".parquet" else _read_json(file), 1):
        empty = False
        yield number, _make_writable(record)
    if empty:
        raise DataError(f"{path}: no records in it")


def hash_file(path: str) -> str:
    """Return the hash of a ready set's bytes: kept in the metrics, so that a later change of the file is noticed."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as fault:
        raise DataError(f"{path}: {fault.strerror}; name {NAMES}") from None


def _make_writable(value: Any) -> Any:
    if isinstance(value, str):
        return make_writable(value).replace("\0", "")
    if isinstance(value, list):
        return [_make_writable(item) for item in value]
    return {key: _make_writable(item) for key, item in value.items()} if isinstance(value, dict) else value


def _read_json(path: Path) -> list[Any]:
    if (ending := strip_packing(path).suffix.lower()) not in (".json", ".jsonl", ".ndjson"):
        raise DataError(f"{path}: its name ends in {ending or 'nothing'}; name {NAMES}")
    text = read_text(path)
    try:
        return _parse(text)
    except json.JSONDecodeError as fault:
        raise DataError(f"{path}:{fault.lineno}: neither a JSON list nor one JSON object a line: {fault.msg}") from None
    except RecursionError:
        raise DataError(f"{path}: JSON that is nested too deep") from None
    except TwiceNamed as fault:
        raise DataError(f"{path}: {fault}") from None
    except ValueError as fault:  # a number of more digits than Python reads
        raise DataError(f"{path}: JSON that cannot be read: {fault}") from None


def _parse(text: str) -> list[Any]:
    """Return the items of a JSON list, or the values of a file with one a line (which may be lists themselves)."""
    decoder = json.JSONDecoder(object_pairs_hook=refuse_twice_named)
    text = text.lstrip("\ufeff")
    if text.lstrip().startswith(("[", "{")):
        try:
            value = decoder.decode(text)
        except json.JSONDecodeError as fault:
            if fault.msg != "Extra data" and not text.lstrip().startswith("{"):
                raise
        else:
            return value if isinstance(value, list) else [value]
    records, offset = [], 0
    for line in text.split("\n"):  # no other sign ends a line: JSON may hold U+2028 as it is
        if line.strip("\ufeff \t\r"):
            try:
                # files with a BOM each that were put one behind the other
                records.append(decoder.decode(line.strip().lstrip("\ufeff")))
            except json.JSONDecodeError as fault:
                raise json.JSONDecodeError(fault.msg, text, offset + fault.pos) from None
        offset += len(line) + 1
    return records


def refuse_twice_named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these keys and values, for JSON's decoder. Raises TwiceNamed for a key that comes again."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in record if keys.count(key) > 1)
        raise TwiceNamed(f"an object names {twice!r} twice")
    return record


def _read_parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise DataError(f"{path}: two columns are named {twice[0]!r}; rename one")
        for batch in file.iter_batches(batch_size=1024):
            batch.validate(full=True)
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as fault:
        line = (str(fault).splitlines() or [type(fault).__name__])[0][:200]
        raise DataError(f"{path}: not a whole Parquet file ({line}); copy or download it again") from None
