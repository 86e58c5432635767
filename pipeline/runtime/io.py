"""The one module that opens row files: reads them, and writes files and folders whole or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from pipeline.runtime.row_checks import RowChecks
from schemas.base import Row

R = TypeVar("R", bound=Row)
ROWS_A_GROUP = 20_000
MOST_ROW = 1 << 20
"""ours: bytes of a row; a prompt has some hundred"""


class DataError(click.ClickException):
    """A file that cannot be used as it is; the process ends with 1 and nothing is written."""


def read_rows(path: str | Path, row: type[R]) -> Iterator[R]:
    """Yield the rows of a JSONL or Parquet file. Raises DataError naming file, line and field."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file; `dvc repro` makes what a stage reads")
    if path.suffix == ".parquet":
        yield from _read_parquet(path, row)
        return
    checks, validate = RowChecks(path, row), row.model_validate_json
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if len(line) > MOST_ROW:
                raise DataError(f"{path}:{number}: a row of {len(line):,} bytes; {MOST_ROW:,} are the most")
            try:
                item = validate(line)
            except ValidationError as fault:
                raise DataError(f"{path}:{number}: {_find_broken_text(line) or describe_fault(fault)}") from None
            if wrong := checks.find_fault(item, line):
                raise DataError(f"{path}:{number}: {wrong}")
            yield item


def _find_broken_text(line: bytes) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as fault:
        return f"not UTF-8 text: {fault}"
    return ""


def _read_parquet(path: Path, row: type[R]) -> Iterator[R]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(path).iter_batches(batch_size=1024)
        number, checks = 0, RowChecks(path, row)
        for batch in batches:
            for record in batch.to_pylist():
                number += 1
                try:
                    item = row.model_validate(record)
                except ValidationError as fault:
                    raise DataError(f"{path}: row {number}: {describe_fault(fault)}") from None
                if wrong := checks.find_fault(item):
                    raise DataError(f"{path}: row {number}: {wrong}")
                yield item
    except pa.ArrowException as fault:
        raise DataError(f"{path}: not a readable Parquet file: {fault}") from None


def describe_fault(fault: ValidationError) -> str:
    """Return the first of pydantic's complaints as "field: what is wrong"."""
    error = fault.errors()[0]
    return f"{'.'.join(str(part) for part in error['loc']) or 'the row'}: {error['msg']}"


def write_rows(path: str | Path, rows: Iterable[Row], row: type[Row]) -> None:
    """Write rows as JSONL or zstd Parquet (by the name), byte-deterministic, whole or not at all."""
    with writing(path, row) as put:
        for item in rows:
            put(item)


@contextlib.contextmanager
def writing(path: str | Path, row: type[Row]) -> Iterator[Callable[[Row], None]]:
    """Give `put(row)`, which writes to a temporary file; when the block ends well, the file takes `path`'s place."""
    path = Path(path)
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            with _writing_parquet(temporary, row) as put:
                yield put
        else:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:

                def put(item: Row) -> None:
                    file.write(item.model_dump_json() + "\n")

                yield put


@contextlib.contextmanager
def _writing_parquet(path: Path, row: type[Row]) -> Iterator[Callable[[Row], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.runtime.arrow import arrow_schema

    schema = arrow_schema(row)
    group: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True) as file:

        def flush() -> None:
            file.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=ROWS_A_GROUP)
            group.clear()

        def put(item: Row) -> None:
            group.append(item.model_dump(mode="json"))
            if len(group) == ROWS_A_GROUP:
                flush()

        yield put
        if group:
            flush()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path, sync: Callable[[int], None] = os.fsync) -> Iterator[Path]:
    """Give a temporary file beside `path`; when the block ends well, sync it and put it in `path`'s place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            sync(file.fileno())
        os.replace(temporary, path)
    except OSError as fault:  # of a full disk, which names no file
        fault.filename = fault.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path, owns: Sequence[str] = (), sync: Callable[[int], None] = os.fsync) -> Iterator[Path]:
    """Give an empty folder beside `folder`; when the block ends well, put what it holds into `folder`, whole.

    What an earlier run left goes: files of the same names, and those that match `owns`, patterns of paths in the
    folder. Where `folder` holds other files too, they stay, and ours take their places one by one. Raises DataError
    where `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: a file, where a folder is to be written")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}.tmp") for kind in ("new", "old"))
    for stale in folder.parent.glob(f".{folder.name}.*.tmp"):  # left by a run that was killed; weights can be large
        shutil.rmtree(stale, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        made = {path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file()}
        for name in made:
            with (temporary / name).open("rb") as file:
                sync(file.fileno())
        before = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
        ours = {name for name in before if name in made or any(matches(name, pattern) for pattern in owns)}
        if before - ours:
            for name in sorted(ours - made):
                (folder / name).unlink()
            for name in sorted(made):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary / name, folder / name)
        else:
            if folder.exists():  # moved away first: a folder that is being deleted would be half there
                os.replace(folder, old)
            os.replace(temporary, folder)
    except OSError as fault:
        fault.filename = fault.filename or str(folder)
        raise
    finally:
        for path in (temporary, old):
            shutil.rmtree(path, ignore_errors=True)


def matches(name: PurePath, pattern: str) -> bool:
    """Return whether a path in a folder matches `pattern`, part by part."""
    return len(name.parts) == len(PurePath(pattern).parts) and name.match(pattern)
