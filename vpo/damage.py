"""What a killed run, a full disk or a person can have damaged, and the mends that lose nothing."""

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline.runtime.accounts import ID_FILE, name_account, project_id, read_lost_id
from pipeline.runtime.store import COLUMNS, Store, home
from vpo.damaged_files import find_changed_files, find_corrupt_objects, find_unignored
from vpo.graph import Graph, read_graphs
from vpo.storage.garbage import cache


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


def check_rwlock(root: Path, is_dvc: Callable[[int], bool] | None = None) -> Check:
    """A dvc killed at the wrong moment leaves a lock file that every later run stumbles over."""
    path = root / ".dvc" / "tmp" / "rwlock"
    todo = "stop every dvc here, then vpo doctor --mend, or delete .dvc/tmp/rwlock"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        holders = [*held.get("write", {}).values(), *(one for some in held.get("read", {}).values() for one in some)]
        pids = {int(holder["pid"]) for holder in holders}
    except FileNotFoundError:
        return Check("dvc lock", True, "free")
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return Check("dvc lock", False, ".dvc/tmp/rwlock is broken by a killed dvc", todo)
    # of a process that is gone DVC knows itself; the number of one can be another's by now
    if strange := [pid for pid in sorted(pids) if is_running(pid) and not (is_dvc or runs_dvc)(pid)]:
        return Check("dvc lock", False, f".dvc/tmp/rwlock names process {strange[0]}, which is no dvc", todo)
    return Check("dvc lock", True, "readable")


def is_running(pid: int) -> bool:
    """Return whether there is a process with this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def runs_dvc(pid: int) -> bool:
    """Return whether a process is a dvc, or may be one: another system does not tell."""
    try:
        return b"dvc" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


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
    """Return why a dvc.lock cannot be used, "" where it can or is not there.

    DVC's own schema has the last word: what it refuses stops every command of dvc.
    """
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from ruamel.yaml import YAML, YAMLError
    from voluptuous import Invalid

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
    if cut:
        return f"cut at stage {cut[0]}"
    try:
        COMPILED_LOCKFILE_SCHEMA(content)
    except Invalid as fault:
        return f"not as DVC writes it: {' '.join(str(fault).split())[:120]}"
    return ""


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


def check_outputs(root: Path) -> Check:
    """Look whether what stages wrote is still what the locks name: an editor, or a full disk, may have changed it."""
    changed = [name for graph in read_whole_graphs(root) for name in find_changed_files(root, graph, cache(root))]
    if changed:
        todo = "dvc repro makes it anew and buys nothing twice; dvc commit keeps it as it is"
        return Check("outputs", False, f"not what dvc.lock names: {shorten(changed)}", todo)
    return Check("outputs", True, "those of dvc.lock, as far as they are there")


def check_graphs(root: Path) -> Check:
    """Look whether each dvc.yaml can be read."""
    try:
        read_graphs(root)
    except (click.ClickException, OSError, UnicodeDecodeError) as fault:
        text = fault.format_message() if isinstance(fault, click.ClickException) else str(fault)
        return Check("graph", False, " ".join(text.split())[:200], "correct it, or git checkout the file")
    return Check("graph", True, "can be read")


def check_cache(root: Path) -> Check:
    """Look whether DVC's cache holds what its names say."""
    corrupt = find_corrupt_objects(root, read_whole_graphs(root), cache(root))
    if corrupt:
        names = shorten([os.path.relpath(path, root) for path in corrupt])
        return Check("dvc cache", False, f"corrupt: {names}", "vpo doctor --mend, then dvc repro")
    return Check("dvc cache", True, "sound")


def check_ignored(root: Path) -> Check:
    """Look whether git would take in what stages write."""
    unignored = find_unignored(root, read_whole_graphs(root))
    if unignored:
        there = (root / ".gitignore").exists()
        todo = "put its lines back: git diff .gitignore" if there else "vpo doctor --mend, or git checkout .gitignore"
        return Check(".gitignore", False, f"lets git take in {shorten(unignored)}", todo)
    return Check(".gitignore", True, "keeps outputs out of git")


def read_whole_graphs(root: Path) -> list[Graph]:
    """Return the graphs whose files can be read and whose locks are whole; the other locks have lines of their own."""
    try:
        graphs = read_graphs(root)
    except (click.ClickException, OSError, UnicodeDecodeError):
        return []
    return [graph for graph in graphs.values() if not find_lock_fault(root / graph.lock)]


def shorten(names: Sequence[str]) -> str:
    """Return the first of some names, and how many there are more."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


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


def check_account(folder: Path) -> Check:
    """Look whether the file is there by which this project's money is counted."""
    lost = None
    if (folder / "answers.sqlite").is_file():
        try:
            with Store(folder) as store:
                lost = read_lost_id(store)
        except (click.ClickException, sqlite3.DatabaseError):
            pass  # has a line of its own
    if lost:
        todo = f"vpo doctor --mend, or git checkout {ID_FILE}"
        return Check("account", False, f"{ID_FILE} is gone or empty; money is counted as {lost}", todo)
    return Check("account", True, f"money is counted as {project_id()}")


def mend_project(root: Path) -> Iterator[str]:
    """Set aside what is broken and yield a line for each mend; what can still be read of a store is kept."""
    if not check_rwlock(root).ok:
        yield set_aside(root / ".dvc" / "tmp" / "rwlock")
    for path in find_locks(root):
        if find_lock_fault(path):
            yield f"{set_aside(path)}; dvc repro takes from its run cache what had been made"
    for path in find_corrupt_objects(root, read_whole_graphs(root), cache(root)):
        aside = root / ".dvc" / "tmp" / "broken" / "".join(path.parts[-2:])
        aside.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, aside)
        yield f"{os.path.relpath(path, root)} is {aside.relative_to(root)} now; dvc repro makes its content anew"
    if not check_ignored(root).ok and not (root / ".gitignore").exists():
        done = subprocess.run(["git", "checkout", "HEAD", "--", ".gitignore"], cwd=root, capture_output=True)
        if done.returncode == 0:
            yield ".gitignore is the one of the last commit again"
    if not check_store(home() / "store").ok:
        yield mend_store(home() / "store")
    elif not check_account(home() / "store").ok:
        with Store() as store:
            if lost := read_lost_id(store):
                name_account(lost)
                yield f"{ID_FILE} names the account {lost} again"


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
