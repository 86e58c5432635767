"""The one module that opens row files: reads them, writes them whole or not at all, locks them, counts them."""

import contextlib
import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import click
from pydantic import ValidationError

from pipeline.runtime.progress import progress
from schemas.base import Dropped, Row

R = TypeVar("R", bound=Row)
ROWS_A_GROUP = 20_000


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
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield row.model_validate_json(line)
                except ValidationError as fault:
                    raise DataError(f"{path}:{number}: {first_fault(fault)}") from None
    except UnicodeDecodeError as fault:
        raise DataError(f"{path}: not UTF-8 text: {fault}") from None


def _read_parquet(path: Path, row: type[R]) -> Iterator[R]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(path).iter_batches(batch_size=1024)
        number = 0
        for batch in batches:
            for record in batch.to_pylist():
                number += 1
                try:
                    yield row.model_validate(record)
                except ValidationError as fault:
                    raise DataError(f"{path}: row {number}: {first_fault(fault)}") from None
    except pa.ArrowException as fault:
        raise DataError(f"{path}: not a readable Parquet file: {fault}") from None


def n_rows(path: str | Path) -> int:
    """Return how many rows a file holds, 0 where that is not known without reading it."""
    path = Path(path)
    if path.suffix != ".jsonl" or not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def first_fault(fault: ValidationError) -> str:
    error = fault.errors()[0]
    return f"{'.'.join(str(part) for part in error['loc']) or 'the row'}: {error['msg']}"


def beside(out: Path, row: type[Row] | None = None) -> tuple[Path, Path]:
    """Return where the dropped rows and the metrics of `out` go.

    data/sft/critique.jsonl -> data/sft/critique_dropped.jsonl, results/sft/critique.json
    """
    dropped = out.with_name(f"{out.stem}_dropped.jsonl")
    parts = list(out.with_suffix(".json").parts)
    if "data" in parts:
        parts[len(parts) - 1 - parts[::-1].index("data")] = "results"
    return dropped, Path(*parts)


class Writer:
    """Counts the units that come in and passes on what a stage yields, rows and dropped, one by one as they come."""

    def __init__(self, row: type[Row], label: str, put: Callable[[Row], None], put_dropped: Callable[[Dropped], None]):
        self.row, self.label, self.put, self.put_dropped = row, label, put, put_dropped
        self.units_in = 0
        self.unread = 0  # inputs whose last row has not been passed yet
        self.expected = 0
        self.n_rows = 0
        self.units: set[int] = set()
        self.reasons: Counter[str] = Counter()
        self.extra: dict = {}

    def read(self, path: str | Path, row: type[R], times: int = 1) -> Iterator[R]:
        """Yield the rows of `path`, counting each as `times` units that come in."""
        self.expected = n_rows(path) * times
        return self.count(read_rows(path, row), times)

    def read_units(self, path: str | Path, row: type[R], unit: str) -> Iterator[R]:
        """Yield the rows of `path`, counting as units the distinct values of their column `unit`."""
        seen = set()

        def new(item: R) -> int:
            before = len(seen)
            seen.add(getattr(item, unit))
            return len(seen) - before

        return self._counted(read_rows(path, row), new)

    def more_units(self, n: int) -> None:
        """Count `n` units that come in beyond those of the rows."""
        self.units_in += n
        self.expected += n if self.expected else 0

    def count(self, rows: Iterable[R], times: int = 1) -> Iterator[R]:
        return self._counted(rows, lambda item: times)

    def _counted(self, rows: Iterable[R], units: Callable[[R], int]) -> Iterator[R]:
        self.unread += 1

        def passed() -> Iterator[R]:
            for item in rows:
                self.units_in += units(item)
                yield item
            self.unread -= 1

        return passed()

    def write(
        self,
        items: Iterable[Row | Dropped],
        tally: Mapping[str, Callable[[Row], int]] | None = None,
        status: Callable[[], str] | None = None,
    ) -> None:
        """Take what the stage yields; show the first row and then how far it is, with `status` beside.

        `tally` maps a name in the metrics to what each row adds to it.
        """
        tally = tally or {}
        self.extra |= dict.fromkeys(tally, 0)
        with progress(self.label) as at:
            for item in items:
                if isinstance(item, Dropped):
                    self.reasons[item.reason] += 1
                    self.put_dropped(item)
                else:
                    if not self.n_rows:
                        _show(self.label, item)
                    self._count(item)
                    for name, adds in tally.items():
                        self.extra[name] += adds(item)
                    self.put(item)
                at(self.n_rows + self.units_dropped, self.expected or None, lambda: self._note(status))

    def _count(self, item: Row) -> None:
        self.n_rows += 1
        if self.row.unit:  # hashes: the units themselves would be as large as the rows
            self.units.add(hash(tuple(getattr(item, name) for name in self.row.unit)))

    def _note(self, status: Callable[[], str] | None) -> str:
        aside = ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common())
        return " · ".join(part for part in (f"set aside: {aside}" if aside else "", status() if status else "") if part)

    @property
    def units_done(self) -> int:
        return len(self.units) if self.row.unit else self.n_rows

    @property
    def units_dropped(self) -> int:
        return self.reasons.total()

    def refuse_losses(self, out: Path) -> None:
        """Raise DataError when input was left unread or units_in != units_done + units_dropped (promise g)."""
        if self.unread:
            raise DataError(f"{out}: the input was not read to its end: some rows vanished; nothing is written")
        if self.units_in != self.units_done + self.units_dropped:
            raise DataError(
                f"{out}: {self.units_in} units came in, {self.units_done} went on and "
                f"{self.units_dropped} were dropped: some vanished; nothing is written"
            )

    def metrics(self) -> dict:
        return {
            "units_in": self.units_in,
            "units_done": self.units_done,
            "units_dropped": self.units_dropped,
            "rows": self.n_rows,
            "dropped": dict(sorted(self.reasons.items())),
            **self.extra,
        }


def _show(label: str, item: Row) -> None:
    fields = [name for name in ("query", "prompt", "chosen", "rejected", "p_refined") if getattr(item, name, None)]
    for name in fields:
        text = getattr(item, name)
        click.echo(f"  {label}: {name}: {text if len(text) <= 160 else text[:157] + '...'}", err=True)


@contextlib.contextmanager
def stage_output(out: str | Path, row: type[Row], label: str | None = None) -> Iterator[Writer]:
    """Give a Writer; when the block ends well, put rows, dropped and metrics in place, each whole.

    Raises DataError when a row vanished (see `Writer.refuse_losses`).
    """
    out = Path(out)
    with locked(out):
        for stale in out.parent.glob(f".{out.stem}*.tmp"):  # left by a run that was killed while it wrote
            stale.unlink(missing_ok=True) if stale.is_file() else shutil.rmtree(stale, ignore_errors=True)
        dropped, metrics = beside(out)
        with writing(out, row) as put, writing(dropped, Dropped) as put_dropped:
            writer = Writer(row, label or out.stem, put, put_dropped)
            yield writer
            writer.refuse_losses(out)
        write_json(metrics, writer.metrics())
        click.echo(f"  {writer.label}: {json.dumps(writer.metrics(), ensure_ascii=False)[:300]}", err=True)


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
                yield lambda item: file.write(item.model_dump_json() + "\n")


@contextlib.contextmanager
def _writing_parquet(path: Path, row: type[Row]) -> Iterator[Callable[[Row], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.runtime.arrow import arrow_schema

    schema, group = arrow_schema(row), []
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True) as file:

        def flush():
            file.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=ROWS_A_GROUP)
            group.clear()

        def put(item: Row) -> None:
            group.append(item.model_dump(mode="json"))
            if len(group) == ROWS_A_GROUP:
                flush()

        yield put
        if group:
            flush()


def write_json(path: str | Path, value) -> None:
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path`; when the block ends well, fsync it and put it in `path`'s place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder`; when the block ends well, put it in `folder`'s place, whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}.tmp") for kind in ("new", "old"))
    for stale in folder.parent.glob(f".{folder.name}.*.tmp"):  # left by a run that was killed; weights can be large
        shutil.rmtree(stale, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if folder.exists():  # moved away first: a folder that is being deleted would be half there
            os.replace(folder, old)
        os.replace(temporary, folder)
    finally:
        for path in (temporary, old):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the lock of `out`, so that two runs of a stage never write the same file."""
    import fcntl

    from pipeline.runtime.store import home

    locks = home() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    import hashlib

    with (locks / hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:32]).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{out}: another run is writing it; wait for it or stop it") from None
        yield


def stop_with_parent(interval_s: float = 0.5, exit_now: Callable[[int], None] = os._exit) -> None:
    """End this process when the dvc that started it is gone (dvc leaves its stages running when it is killed)."""
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(interval_s)
        exit_now(1)

    threading.Thread(target=watch, daemon=True).start()
