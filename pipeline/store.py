"""The pay-once store under $VPO_HOME: every answer that cost something, by the hash of all it depends on.

JSON in SQLite (WAL mode) for answers, files by key for clips; never pickles. It lies outside the workspace because DVC
deletes a stage's outputs before the stage runs.
"""

import json
import os
import sqlite3
import threading
from pathlib import Path

from schemas.base import content_id


def home() -> Path:
    """Return $VPO_HOME, or `vpo` in the user's XDG cache."""
    if named := os.environ.get("VPO_HOME"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vpo"


def store_key(kind: str, **depends) -> str:
    """Return the key of an answer: 16 hex digits over everything the answer depends on and nothing else."""
    return content_id(kind, depends)


class Store:
    """Answers by key. `put` commits before it returns, so a finished call survives kill -9."""

    def __init__(self, path: str | Path | None = None):
        self.root = Path(path) if path else home() / "store"
        self.root.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.connection = sqlite3.connect(
            self.root / "answers.sqlite", timeout=60, isolation_level=None, check_same_thread=False
        )
        self.connection.execute("pragma journal_mode=wal")
        self.connection.execute("pragma synchronous=normal")
        self.connection.execute(
            "create table if not exists answers (key text primary key, kind text not null, request text not null, "
            "answer text not null, at text not null default current_timestamp)"
        )

    def get(self, key: str) -> dict | None:
        with self.lock:
            found = self.connection.execute("select answer from answers where key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else None

    def put(self, key: str, kind: str, request, answer: dict) -> None:
        self.put_many([(key, kind, request, answer)])

    def put_many(self, items) -> None:
        """Store (key, kind, request, answer) tuples in one transaction; the first answer to a key stays."""
        rows = [
            (key, kind, json.dumps(request, ensure_ascii=False), json.dumps(answer, ensure_ascii=False))
            for key, kind, request, answer in items
        ]
        with self.lock:
            self.connection.execute("begin immediate")
            try:
                self.connection.executemany(
                    "insert or ignore into answers (key, kind, request, answer) values (?, ?, ?, ?)", rows
                )
                self.connection.execute("commit")
            except BaseException:
                self.connection.execute("rollback")
                raise

    def forget(self, key: str) -> None:
        """Remove an answer whose file is lost or damaged, so that it can be bought again."""
        with self.lock:
            self.connection.execute("delete from answers where key = ?", (key,))

    def file(self, key: str, suffix: str) -> Path:
        """Return where the file of `key` lies, whether or not it is there."""
        return self.root / "files" / key[:2] / f"{key}{suffix}"

    def counts(self) -> dict[str, int]:
        with self.lock:
            return dict(self.connection.execute("select kind, count(*) from answers group by kind order by kind"))
