"""The pay-once store under $VPO_HOME: every answer that cost something, by the hash of all it depends on.

JSON in SQLite (WAL mode) for answers, files by key for clips; never pickles. It lies outside the workspace because DVC
deletes a stage's outputs before the stage runs.
"""

import json
import os
import shutil
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pipeline.runtime.io import DataError
from schemas.base import content_id


def home() -> Path:
    """Return $VPO_HOME, or `vpo` in the user's XDG cache."""
    if named := os.environ.get("VPO_HOME"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vpo"


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


LEAST_ROOM = 64 << 20
"""ours: bytes that must be free where the store lies, or nothing is bought; an answer takes some thousand"""

COLUMNS = ["key", "kind", "request", "answer", "at"]
MEND = "nothing is bought; put a copy back, or `vpo doctor --mend` sets it aside and keeps what can be read"


def make_private(folder: Path) -> None:
    """Make a folder that its owner alone may enter: answers may hold what people typed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def private_folder(name: str) -> Path:
    """Return a folder of $VPO_HOME, made if need be so that its owner alone may enter it. Raises DataError."""
    try:
        make_private(home())
        make_private(home() / name)
    except OSError as fault:
        why = (fault.strerror or "").lower()
        raise DataError(f"{home()}: cannot be written: {why}; set VPO_HOME to a folder of yours") from None
    return home() / name


class Store:
    """Answers by key. `put` commits before it returns, so a finished call survives kill -9.

    Use it in a `with`, or close it; one that a backend holds to its own end is closed when it goes.
    """

    def __init__(self, path: str | Path | None = None):
        import fcntl

        self.root = Path(path) if path else home() / "store"
        self.path, self.record = self.root / "answers.sqlite", self.root / "record"
        self.lock = threading.Lock()
        try:
            make_private(self.root if path else home())
            make_private(self.root)
            with (self.root / "opening.lock").open("w") as turn:
                # SQLite waits for nobody when a file is turned to WAL: of two stages that begin a store one would fail
                fcntl.flock(turn, fcntl.LOCK_EX)
                self._open()
                self._compare_with_record()
        except sqlite3.DatabaseError as fault:
            raise DataError(f"{self.path}: not a readable store: {fault}; {MEND}") from None
        except OSError as fault:
            raise DataError(
                f"{self.root}: no store can be opened here: {(fault.strerror or '').lower()}; set VPO_HOME to a folder "
                "of yours, or see `vpo doctor`"
            ) from None

    def _open(self) -> None:
        if self.record.exists() and not (self.path.exists() and self.path.stat().st_size):
            raise DataError(f"{self.path}: {'empty' if self.path.exists() else 'gone'}, but it held answers; {MEND}")
        self.path.touch(mode=0o600)
        self.path.chmod(0o600)
        self.connection = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
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
            "create table if not exists claims (key text primary key, holder text not null, until real not null)"
        )
        self.connection.execute(
            "create table if not exists snapshots (account text primary key, snapshot text not null)"
        )
        columns = [row[1] for row in self.connection.execute("pragma table_info(answers)")]
        if columns != COLUMNS:
            raise DataError(f"{self.path}: another schema: answers has the columns {', '.join(columns)}; {MEND}")
        with self.transaction():
            self.connection.execute("create table if not exists stored (n integer not null)")
            self.connection.execute(
                "insert into stored select (select count(*) from answers) where not exists (select * from stored)"
            )

    def _compare_with_record(self) -> None:
        """Refuse a store in which less was ever stored than the file beside it says; else bring that up to date."""
        (stored,) = self.connection.execute("select n from stored").fetchone()
        try:
            recorded = int(self.record.read_text())
        except (FileNotFoundError, ValueError):
            recorded = 0
        if stored < recorded:
            raise DataError(
                f"{self.path}: {recorded} answers were stored in it, this one knows of {stored}: an older copy? {MEND}"
            )
        if stored > recorded:
            temporary = self.record.with_name(f".record.{os.getpid()}.tmp")
            temporary.write_text(f"{stored}\n")
            temporary.chmod(0o600)
            os.replace(temporary, self.record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def find_lack_of_room(self) -> str:
        """Return why an answer could not be stored, which must be known before it is bought; "" where there is room."""
        free = shutil.disk_usage(self.root).free
        if free >= LEAST_ROOM:
            return ""
        return (
            f"{self.root}: {free / 1e6:.0f} MB are free, an answer that is paid for might be lost; make room "
            "(`vpo store gc`) or let VPO_HOME name another disk"
        )

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
        with self.transaction():
            self._insert(rows)

    def _insert(self, rows: Sequence[tuple[str, str, str, str]]) -> int:
        insert = "insert or ignore into answers (key, kind, request, answer) values (?, ?, ?, ?)"
        count = self.connection.executemany(insert, rows).rowcount
        self.connection.execute("update stored set n = n + ?", (count,))
        return count

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock and a transaction that is committed when the block ends well, and rolled back when not."""
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
        with self.lock:
            return self.read_many(keys)

    def read_many(self, keys: Sequence[str]) -> list[dict[str, Any] | None]:
        """As `get_many`, for who holds the lock."""
        answers: dict[str, str] = {}
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
        with self.transaction():
            new = self._insert(rows)
            self.connection.executemany("delete from claims where key = ?", ((one.key,) for one in purchases))
            spent = self.charge_within(account, *charge)
        if new == len(rows):
            return [one.answer for one in purchases], spent
        stored = self.get_many([one.key for one in purchases])
        return [one.answer if answer is None else answer for one, answer in zip(purchases, stored, strict=True)], spent

    def charge(self, account: str, requests: int, input_tokens: int, output_tokens: int, usd: float) -> float:
        """Charge `account` for what cannot be kept; return the US dollars spent so far."""
        with self.lock:
            return self.charge_within(account, requests, input_tokens, output_tokens, usd)

    def charge_within(self, account: str, *charge: float) -> float:
        """As `charge`, for who holds the lock."""
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

    def read_usage(self, account: str) -> tuple[int, int, int]:
        """Return (requests, input tokens, output tokens) charged to `account` so far, by every process."""
        query = "select requests, input_tokens, output_tokens from spent where account = ?"
        with self.lock:
            row = self.connection.execute(query, (account,)).fetchone()
        return row or (0, 0, 0)

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
