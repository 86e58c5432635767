"""The pay-once store under $VPO_HOME: every answer that cost something, by the hash of all it depends on.

JSON in SQLite (WAL mode) for answers, files by key for clips; never pickles. It lies outside the workspace because DVC
deletes a stage's outputs before the stage runs.
"""

import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from schemas.base import content_id


def home() -> Path:
    """Return $VPO_HOME, or `vpo` in the user's XDG cache."""
    if named := os.environ.get("VPO_HOME"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vpo"


def account(host: str, model: str) -> str:
    """Return the name under which this project's money for a model is counted; experiments count with their project."""
    return f"{project()} {host} {model}"


def project() -> Path:
    """Return the folder of the DVC project that we stand in; of a temporary experiment the one it was started from."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)
    # dvc runs `exp run --temp` and `--queue` in a clone at .dvc/tmp/exps/<name>
    inside = next((folder for folder in root.parents if folder.name == ".dvc"), None)
    return inside.parent if inside else root


def store_key(kind: str, **depends: Any) -> str:
    """Return the key of an answer: 16 hex digits over everything the answer depends on and nothing else."""
    return content_id(kind, depends)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which JSON can hold and SQLite cannot
        return json.dumps(value)
    return text


@dataclass(frozen=True, slots=True)
class Purchase:
    """An answer that was paid for: (input, output) tokens and US dollars."""

    key: str
    kind: str
    request: Any
    answer: dict[str, Any]
    tokens: tuple[int, int]
    usd: float


class Store:
    """Answers by key. `put` commits before it returns, so a finished call survives kill -9.

    Use it in a `with`, or close it; one that a backend holds to its own end is closed when it goes.
    """

    def __init__(self, path: str | Path | None = None):
        import fcntl

        self.root = Path(path) if path else home() / "store"
        self.root.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        with (self.root / "opening.lock").open("w") as turn:
            # SQLite waits for nobody when a file is turned to WAL: of two stages that begin a store one would fail
            fcntl.flock(turn, fcntl.LOCK_EX)
            self._open()

    def _open(self) -> None:
        self.connection = sqlite3.connect(
            self.root / "answers.sqlite", timeout=60, isolation_level=None, check_same_thread=False
        )
        self.close = weakref.finalize(self, self.connection.close)
        self.connection.execute("pragma journal_mode=wal")
        self.connection.execute("pragma synchronous=normal")
        self.connection.execute(
            "create table if not exists answers (key text primary key, kind text not null, request text not null, "
            "answer text not null, at text not null default current_timestamp)"
        )
        self.connection.execute(
            "create table if not exists spent (account text primary key, requests integer not null, "
            "input_tokens integer not null, output_tokens integer not null, usd real not null)"
        )
        self.connection.execute(
            "create table if not exists snapshots (account text primary key, snapshot text not null)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the answer to a key, None where there is none."""
        with self.lock:
            row = self.connection.execute("select answer from answers where key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, key: str, kind: str, request: Any, answer: Mapping[str, Any]) -> None:
        """Store one answer; the first answer to a key stays."""
        self.put_many([(key, kind, request, answer)])

    def put_many(self, items: Iterable[tuple[str, str, Any, Mapping[str, Any]]]) -> None:
        """Store (key, kind, request, answer) tuples in one transaction; the first answer to a key stays."""
        rows = [(key, kind, _json(request), _json(answer)) for key, kind, request, answer in items]
        with self._transaction():
            self._insert(rows)

    def _insert(self, rows: Sequence[tuple[str, str, str, str]]) -> int:
        insert = "insert or ignore into answers (key, kind, request, answer) values (?, ?, ?, ?)"
        return self.connection.executemany(insert, rows).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self.lock:
            self.connection.execute("begin immediate")
            try:
                yield
                self.connection.execute("commit")
            except BaseException:
                if self.connection.in_transaction:  # a full disk has ended it already
                    self.connection.execute("rollback")
                raise

    def get_many(self, keys: Sequence[str]) -> list[dict[str, Any] | None]:
        """Return the answer to each key, None where there is none, in one look."""
        answers: dict[str, str] = {}
        with self.lock:
            for start in range(0, len(keys), 500):
                some = keys[start : start + 500]
                marks = ",".join("?" * len(some))
                answers.update(self.connection.execute(f"select key, answer from answers where key in ({marks})", some))
        return [json.loads(answers[key]) if key in answers else None for key in keys]

    def buy_many(self, purchases: Sequence[Purchase], account: str) -> tuple[list[dict[str, Any]], float]:
        """Store answers and charge `account` in one transaction; return (the answers that stay, US dollars spent).

        The first answer to a key stays, also when another process bought it meanwhile; both are charged.
        """
        rows = [(one.key, one.kind, _json(one.request), _json(one.answer)) for one in purchases]
        charge = [sum(column) for column in zip(*((1, *one.tokens, one.usd) for one in purchases), strict=True)]
        with self._transaction():
            new = self._insert(rows)
            spent = self._charge(account, *charge)
        if new == len(rows):
            return [one.answer for one in purchases], spent
        stored = self.get_many([one.key for one in purchases])
        return [one.answer if answer is None else answer for one, answer in zip(purchases, stored, strict=True)], spent

    def charge(self, account: str, requests: int, input_tokens: int, output_tokens: int, usd: float) -> float:
        """Charge `account` for what cannot be kept; return the US dollars spent so far."""
        with self.lock:
            return self._charge(account, requests, input_tokens, output_tokens, usd)

    def _charge(self, account: str, *charge: float) -> float:
        (spent,) = self.connection.execute(
            "insert into spent values (?, ?, ?, ?, ?) on conflict (account) do update set "
            "requests = requests + excluded.requests, input_tokens = input_tokens + excluded.input_tokens, "
            "output_tokens = output_tokens + excluded.output_tokens, usd = usd + excluded.usd returning usd",
            (account, *charge),
        ).fetchone()
        return spent

    def read_spent_usd(self, account: str) -> float:
        """Return the US dollars charged to `account` so far, by every process of the project."""
        with self.lock:
            row = self.connection.execute("select usd from spent where account = ?", (account,)).fetchone()
        return row[0] if row else 0.0

    def read_snapshot(self, account: str) -> str | None:
        """Return the snapshot that last replied on `account`, None where none did."""
        with self.lock:
            row = self.connection.execute("select snapshot from snapshots where account = ?", (account,)).fetchone()
        return row[0] if row else None

    def keep_snapshot(self, account: str, snapshot: str) -> None:
        """Keep which snapshot has just replied on `account`."""
        with self.lock:
            self.connection.execute("insert or replace into snapshots values (?, ?)", (account, snapshot))

    def forget(self, key: str) -> None:
        """Remove an answer whose file is lost or damaged, so that it can be bought again."""
        with self.lock:
            self.connection.execute("delete from answers where key = ?", (key,))

    def file(self, key: str, suffix: str) -> Path:
        """Return where the file of `key` lies, whether or not it is there."""
        return self.root / "files" / key[:2] / f"{key}{suffix}"

    def counts(self) -> dict[str, int]:
        """Return how many answers of each kind there are."""
        with self.lock:
            return dict(self.connection.execute("select kind, count(*) from answers group by kind order by kind"))
