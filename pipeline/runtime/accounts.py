"""Whose money is counted where: an account belongs to a project, wherever its folder lies.

A file that git tracks names the project, so that one that is moved, cloned, or checked out as a worktree goes on with
what it has spent. A project without that file is named by its path.
"""

import os
import uuid
from pathlib import Path

from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store, project

ID_FILE = Path(".dvc/vpo_account")
CREATE = "create table if not exists projects (path text primary key, id text not null)"


def project_id() -> str:
    """Return the name of the project that we stand in, under which its money is counted."""
    try:
        named = (project() / ID_FILE).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        named = []
    return named[0] if named else str(project())


def begin_account() -> str:
    """Give this project a new name, so that its money is counted from 0; return the name."""
    name_account(uuid.uuid4().hex[:12])
    return project_id()


def account(host: str, model: str) -> str:
    """Return the name under which this project's money for a model is counted; experiments count with their project."""
    return f"{project_id()} {host} {model}"


def open_account(store: Store, host: str, model: str) -> str:
    """Return the account's name, noting where the project lies; what was counted by its path is taken over."""
    path = str(project())
    if (lost := read_lost_id(store)) is not None:
        raise DataError(
            f"{project() / ID_FILE}: gone or empty, but this project's money is counted as {lost}; nothing is bought: "
            f"git checkout {ID_FILE}, or `vpo doctor --mend` writes it again"
        )
    with store.transaction():
        store.connection.execute(CREATE)
        store.connection.execute("insert or replace into projects values (?, ?)", (path, project_id()))
        _move(store, f"{path} {host} {model}", account(host, model))
    return account(host, model)


def read_lost_id(store: Store) -> str | None:
    """Return by what name the money of this project was counted when its file still named it; None where it does."""
    path = str(project())
    if project_id() != path:
        return None
    with store.transaction():
        store.connection.execute(CREATE)
        row = store.connection.execute("select id from projects where path = ?", (path,)).fetchone()
    return row[0] if row and row[0] != path else None


def name_account(name: str) -> None:
    """Write the name under which this project's money is counted into its file."""
    path = project() / ID_FILE
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(f"{name}\n", encoding="utf-8")
    os.replace(temporary, path)


def take_over(store: Store, folder: str) -> list[str]:
    """Add to this project's accounts what was counted for a project at `folder`; return the accounts that moved."""
    with store.transaction():
        rows = store.connection.execute("select account from spent where substr(account, 1, ?) = ?",
                                        (len(folder) + 1, f"{folder} ")).fetchall()  # fmt: skip
        moved = [name for (name,) in rows if _move(store, name, f"{project_id()}{name[len(folder) :]}")]
        if moved:
            store.connection.execute(CREATE)
            store.connection.execute("delete from projects where path = ?", (folder,))
    return moved


def read_folders(store: Store) -> list[str]:
    """Return the folders of the projects that have spent money from this store, as far as they are named by an id."""
    with store.transaction():
        store.connection.execute(CREATE)
        return [path for (path,) in store.connection.execute("select path from projects order by path")]


def _move(store: Store, old: str, new: str) -> bool:
    """Add what was charged to an account to another one, with its open batches; return whether there was anything."""
    if old == new:
        return False
    row = store.connection.execute(
        "delete from spent where account = ? returning requests, input_tokens, output_tokens, usd", (old,)
    ).fetchall()
    for charge in row:
        store.charge_within(new, *charge)
    if store.connection.execute("select 1 from sqlite_master where name = 'batches'").fetchone():
        store.connection.execute("update batches set account = ? where account = ?", (new, old))
    return bool(row)
