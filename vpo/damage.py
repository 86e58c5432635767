"""What a killed run, a full disk or a person can have damaged, and the mends that lose nothing."""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline.runtime.store import COLUMNS, Store, home


@dataclass(frozen=True)
class Check:
    """One thing looked at; `todo` is empty where all is well or nothing needs doing."""

    name: str
    ok: bool
    state: str
    todo: str = ""

    def as_json(self) -> dict[str, str | bool]:
        """Return the object that `--json` prints; its keys are public."""
        return {"name": self.name, "ok": self.ok, "found": self.state, "todo": self.todo}


def check_rwlock(root: Path) -> Check:
    """A dvc killed at the wrong moment leaves a lock file that every later run stumbles over."""
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Check("dvc lock", True, "free")
    except ValueError:
        return Check(
            "dvc lock",
            False,
            "broken by a killed dvc",
            "stop every dvc here, then vpo doctor --mend, or delete .dvc/tmp/rwlock",
        )
    return Check("dvc lock", True, "readable")


def check_locks(root: Path) -> Iterator[Check]:
    """Look at each dvc.lock: a dvc that was killed, or a disk that was full, may have left a part of it."""
    for path in find_locks(root):
        name = path.relative_to(root).as_posix()
        if fault := find_lock_fault(path):
            yield Check(name, False, fault, "vpo doctor --mend, then dvc repro; or git checkout it")
        else:
            yield Check(name, True, "readable" if path.exists() else "not there yet")


def find_locks(root: Path) -> list[Path]:
    """Return where the lock of each graph lies, or will lie."""
    return [root / "dvc.lock", *sorted(root.glob("recipes/*/dvc.lock"))]


def find_lock_fault(path: Path) -> str:
    """Return why a dvc.lock cannot be used, "" where it can or is not there."""
    from ruamel.yaml import YAML, YAMLError

    try:
        content: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError, YAMLError) as fault:
        return f"broken: {' '.join(str(fault).split())[:120]}"
    if content is None:
        return "empty"
    if not isinstance(content, dict) or not isinstance(content.get("stages") or {}, dict):
        return "no lock of stages"
    cut = [name for name, stage in (content.get("stages") or {}).items() if not _is_whole(stage)]
    return f"cut at stage {cut[0]}" if cut else ""


def _is_whole(stage: Any) -> bool:
    if not isinstance(stage, dict) or not stage.get("cmd"):
        return False
    files = [*(stage.get("deps") or []), *(stage.get("outs") or [])]
    return all(isinstance(file, dict) and "path" in file and file.get("md5") for file in files)


def is_writable(path: Path) -> bool:
    """Return whether this process may write into a folder; root may into every one that is not mounted read-only."""
    return os.access(path, os.W_OK)


def check_folders(root: Path, may_write: Callable[[Path], bool] = is_writable) -> Check:
    """Look whether stages can write where they have to."""
    wanted = [root, root / ".dvc", root / "data", root / "results"]
    closed = [str(path.relative_to(root)) for path in wanted if path.exists() and not may_write(path)]
    if closed:
        return Check("folders", False, f"{', '.join(closed)}: read-only", f"chmod -R u+w {' '.join(closed)}")
    return Check("folders", True, "can be written")


def check_store(folder: Path) -> Check:
    """Look whether the store can be opened and every page of it is sound."""
    if not folder.exists():
        return Check("store", True, "not there yet")
    path, todo = folder / "answers.sqlite", "put a copy back, or vpo doctor --mend"
    try:
        with Store(folder) as store:
            (verdict,) = store.connection.execute("pragma quick_check(1)").fetchone()
    except click.ClickException as fault:
        return Check("store", False, fault.format_message(), todo)
    except sqlite3.DatabaseError as fault:
        verdict = str(fault)
    if verdict != "ok":
        return Check("store", False, f"{path}: {' '.join(verdict.split())[:120]}", todo)
    return Check("store", True, "sound")


def mend_project(root: Path) -> Iterator[str]:
    """Set aside what is broken and yield a line for each mend; what can still be read of a store is kept."""
    if not check_rwlock(root).ok:
        yield set_aside(root / ".dvc" / "tmp" / "rwlock")
    for path in find_locks(root):
        if find_lock_fault(path):
            yield f"{set_aside(path)}; dvc repro takes from its run cache what had been made"
    if not check_store(home() / "store").ok:
        yield mend_store(home() / "store")


def set_aside(path: Path) -> str:
    """Give a broken file another name beside its own; return what was done."""
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%S')}")
    os.replace(path, aside)
    return f"{path} is {aside.name} now"


def mend_store(folder: Path) -> str:
    """Begin a store anew with all answers and charges that can be read of the broken one, which is kept beside it."""
    path = folder / "answers.sqlite"
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%S')}")
    for ending in ("", "-wal", "-shm"):
        if (part := path.with_name(path.name + ending)).exists():
            os.replace(part, aside.with_name(aside.name + ending))
    (folder / "record").unlink(missing_ok=True)
    kept = 0
    with Store(folder) as store:
        tables = {"answers": COLUMNS, "spent": ["account", "requests", "input_tokens", "output_tokens", "usd"]}
        for table, columns in tables.items():
            marks, names = ", ".join("?" * len(columns)), ", ".join(columns)
            insert = f"insert or ignore into {table} ({names}) values ({marks})"
            with store.transaction():
                for row in read_rows_of(aside, table, names):
                    count = store.connection.execute(insert, row).rowcount
                    kept += count if table == "answers" else 0
        with store.transaction():
            store.connection.execute("update stored set n = (select count(*) from answers)")
    return f"{path}: begun anew with {kept} answers that could be read; the old one is {aside.name}"


def read_rows_of(path: Path, table: str, names: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table of a broken database, from both ends up to where it cannot be read."""
    for order in ("", "order by rowid desc"):
        try:
            with closing(sqlite3.connect(path)) as connection:
                yield from connection.execute(f"select {names} from {table} {order}")
                return
        except sqlite3.DatabaseError:
            continue
