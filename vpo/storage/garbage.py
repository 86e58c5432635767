"""Finds what the store holds for nobody: no row refers to it, or its file is lost."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.runtime.accounts import read_folders
from pipeline.runtime.store import Store
from vpo.storage.statistics import accounts

MADE = ("policy", "clip", "score")
"""kinds that cost computing time, where no endpoint was asked"""
REFERENCE = re.compile(rb'"store_key": ?"([^"\\]+)"')
UNFINISHED_S = 3600.0
"""a file without an answer that is younger may be one that a stage is putting there"""


@dataclass
class Garbage:
    """Keys and files that may go, and what was counted on the way."""

    unreferred: list[str] = field(default_factory=list)
    without_file: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    n_bytes: int = 0
    n_referred: int = 0
    projects: list[Path] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)

    @property
    def answers(self) -> int:
        return len(self.unreferred) + len(self.without_file)

    def __bool__(self) -> bool:
        return bool(self.answers or self.files)

    def lines(self) -> Iterator[str]:
        yield f"{self.n_referred} keys are referred to by the rows of:"
        yield from (f"  {project}" for project in self.projects)
        for project in self.unreachable:
            yield f"  {project} is not there: what cost money stays, unless --gone says that it will not come back"
        yield f"{len(self.unreferred)} answers that no row refers to"
        yield f"{len(self.without_file)} answers whose file is lost"
        yield f"{len(self.files)} files of no answer that stays; together {self.n_bytes / 1e6:.3g} MB"


def find_garbage(
    store: Store,
    older_than: timedelta,
    projects: Sequence[Path],
    made: bool = False,
    paid: bool = False,
    gone: Sequence[str] = (),
) -> Garbage:
    """Return what may go: see `vpo store gc --help` for what is kept."""
    garbage = Garbage()
    named = {str(project.resolve()) for project in projects} | {*read_folders(store)}
    named |= {row["project"] for row in accounts(store) if row["project"].startswith("/")}
    for project in sorted(named):
        if Path(project).is_dir():
            garbage.projects.append(Path(project))
        elif project not in gone:
            garbage.unreachable.append(project)
    referred = {key for project in garbage.projects for key in references(project)}
    garbage.n_referred = len(referred)
    before = (datetime.now(UTC) - older_than).strftime("%Y-%m-%d %H:%M:%S")
    present = {path.stem: path for path in _files(store)}
    staying = set()
    going = {"price", "made" if made else "", "paid" if paid and not garbage.unreachable else ""}
    rows = store.connection.execute(
        "select key, kind, at, json_extract(answer, '$.status') is not null, length(cast(request as blob)) + "
        "length(cast(answer as blob)) from answers order by key"
    )
    for key, kind, when, of_endpoint, n_bytes in rows:
        if kind == "clip" and key not in present:
            garbage.without_file.append(key)
        elif key not in referred and when < before and cost(kind, of_endpoint) in going:
            garbage.unreferred.append(key)
        else:
            staying.add(key)
            continue
        garbage.n_bytes += n_bytes
    now = time.time()
    for key, path in present.items():
        if key not in staying and now - path.stat().st_mtime > UNFINISHED_S:
            garbage.files.append(path)
            garbage.n_bytes += path.stat().st_size
    return garbage


def cost(kind: str, of_endpoint: bool) -> str:
    """Return what it takes to have an answer again: nothing but a look (price), computing time (made), money (paid)."""
    if kind == "price":
        return "price"
    return "made" if kind in MADE and not of_endpoint else "paid"


def remove(store: Store, garbage: Garbage) -> int:
    """Remove it, answers first, so that a kill leaves files without an answer and never the reverse; return bytes."""
    before = _size(store)
    with store.lock:
        store.connection.execute("begin immediate")
        for keys in (garbage.unreferred, garbage.without_file):
            store.connection.executemany("delete from answers where key = ?", ((key,) for key in keys))
        store.connection.execute("commit")
        n_files = 0
        for path in garbage.files:
            n_files += path.stat().st_size
            path.unlink(missing_ok=True)
        store.connection.execute("vacuum")
        store.connection.execute("pragma wal_checkpoint(truncate)")
    return before - _size(store) + n_files


def references(project: Path) -> Iterator[str]:
    """Yield the store keys that rows refer to: in data/, and in any file of the DVC cache, so in every version."""
    for folder in (project / "data", cache(project)):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.endswith((".tar", ".safetensors", ".dir")):
                yield from keys_in(path)


def cache(project: Path) -> Path:
    """Return the folder of the project's DVC cache."""
    import configparser

    folder = project / ".dvc" / "cache"
    for name in ("config", "config.local"):
        config = configparser.ConfigParser()
        config.read(project / ".dvc" / name)
        if named := config.get("cache", "dir", fallback="").strip():
            folder = project / ".dvc" / named
    return folder


def keys_in(path: Path) -> Iterator[str]:
    """Yield the store keys in a file of rows; a file in the cache has no suffix, so its first bytes tell its kind."""
    with path.open("rb") as file:
        start = file.read(4)
        if start[:1] == b"{":
            file.seek(0)
            for line in file:
                yield from (key.decode() for key in REFERENCE.findall(line))
    if start == b"PAR1":
        import pyarrow.parquet as pq

        parquet = pq.ParquetFile(path)
        names = [column.path for column in parquet.schema if column.path.split(".")[-1] == "store_key"]
        for batch in parquet.iter_batches(columns=names) if names else ():
            for record in batch.to_pylist():
                yield from _keys(record)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "store_key" and item:
                yield item
            else:
                yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)


def _files(store: Store) -> Iterator[Path]:
    return (path for path in sorted((store.root / "files").glob("*/*")) if path.is_file())


def _size(store: Store) -> int:
    return sum(path.stat().st_size for path in store.root.glob("answers.sqlite*"))
