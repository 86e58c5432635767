"""What the store knows of batches under way: the requests of each, and by what name the server knows it.

A batch is written down before it is made, and closed after its last answer is stored: a killed run finds it again.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.llm.calls.batch_lines import count_line_bytes
from pipeline.runtime.store import Store
from schemas.base import content_id

TABLES = (
    "create table if not exists batches (name text primary key, keys text not null, account text not null, "
    "usd real not null, requests integer not null, id text, status text, at text not null default current_timestamp)",
    "create table if not exists batch_requests (key text primary key, batch text not null, sample integer not null, "
    "body text not null)",
    "create index if not exists batch_requests_batch on batch_requests (batch)",
)
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent: its body as JSON, its model, which draw it is and what it is expected to cost."""

    body: str
    model: str
    sample: int
    usd: float


@dataclass(frozen=True, slots=True)
class Record:
    """A batch. `id` is the server's, None while it is not known to be made; `status` is None until it is closed."""

    name: str
    requests: int
    usd: float
    id: str | None
    status: str | None


class Records:
    """The open batches of one account, in tables beside the answers."""

    def __init__(self, store: Store, account: str):
        self.store, self.account = store, account
        with self._changing() as connection:
            for table in TABLES:
                connection.execute(table)

    def claim(self, requests: Mapping[str, Request], most_requests: int, most_bytes: int) -> dict[str, list[str]]:
        """Return the open batches by name, with those keys of `requests` that they hold.

        Keys that are in none are written into new ones.
        """
        with self._changing() as connection:
            claimed: dict[str, list[str]] = {}
            held: set[str] = set()
            for some in _some(list(requests)):
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"select key, batch from batch_requests where key in ({marks})", some)
                for key, batch in rows:
                    held.add(key)
                    claimed.setdefault(batch, []).append(key)
            missing = {key: request for key, request in requests.items() if key not in held}
            for keys in plan_batches(missing, most_requests, most_bytes):
                # a name that the same content has again after a loss of this store, but never for a second try
                digest = content_id(sorted(keys))
                (before,) = connection.execute("select count(*) from batches where keys = ?", (digest,)).fetchone()
                name, usd = f"{digest}-{before}", sum(missing[key].usd for key in keys)
                connection.execute(
                    "insert into batches (name, keys, account, usd, requests) values (?, ?, ?, ?, ?)",
                    (name, digest, self.account, usd, len(keys)),
                )
                connection.executemany(
                    "insert into batch_requests values (?, ?, ?, ?)",
                    ((key, name, missing[key].sample, missing[key].body) for key in keys),
                )
                claimed[name] = keys
            return claimed

    def read(self, name: str) -> Record:
        """Return what is written down of the batch that `claim` gave this name."""
        with self.store.lock:
            row = self.store.connection.execute(
                "select name, requests, usd, id, status from batches where name = ?", (name,)
            ).fetchone()
        return Record(*row)

    def note_made(self, name: str, batch_id: str) -> None:
        """Write down by what id the server knows the batch."""
        with self._changing() as connection:
            connection.execute("update batches set id = ? where name = ?", (batch_id, name))

    def close(self, name: str, status: str) -> None:
        """Let go of the requests: those without an answer may be asked again."""
        with self._changing() as connection:
            connection.execute("delete from batch_requests where batch = ?", (name,))
            connection.execute("update batches set status = ? where name = ?", (status, name))

    def close_answered(self) -> None:
        """Close batches whose every answer is stored: their run was killed just before it could."""
        with self.store.lock:
            rows = self.store.connection.execute(
                "select name from batches where account = ? and status is null and not exists (select * from "
                "batch_requests left join answers using (key) where batch = name and answer is null)",
                (self.account,),
            ).fetchall()
        for (name,) in rows:
            self.close(name, "answered")

    def read_running(self) -> list[Record]:
        """Return the batches of the account that were made and are not closed."""
        with self.store.lock:
            return [
                Record(*row)
                for row in self.store.connection.execute(
                    "select name, requests, usd, id, status from batches where account = ? and id is not null "
                    "and status is null order by rowid",
                    (self.account,),
                )
            ]

    def is_old(self, name: str) -> bool:
        """Return whether the batch was written down so long ago that its window of a day is over for certain."""
        with self.store.lock:
            (is_old,) = self.store.connection.execute(
                "select at < datetime('now', '-2 days') from batches where name = ?", (name,)
            ).fetchone()
        return bool(is_old)

    def read_keys(self, name: str) -> list[str]:
        """Return the keys of an open batch in the order of its lines; none once it is closed."""
        with self.store.lock:
            rows = self.store.connection.execute(
                "select key from batch_requests where batch = ? order by rowid", (name,)
            ).fetchall()
        return [key for (key,) in rows]

    def read_requests(self, keys: Sequence[str]) -> Iterator[tuple[str, str, int]]:
        """Yield (key, body as JSON, sample) in the order of `keys`; keys that no batch holds are left out."""
        for some in _some(keys):
            marks = ",".join("?" * len(some))
            with self.store.lock:
                rows = self.store.connection.execute(
                    f"select key, body, sample from batch_requests where key in ({marks})", some
                ).fetchall()
            by_key = {row[0]: row for row in rows}
            yield from (by_key[key] for key in some if key in by_key)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        connection = self.store.connection
        with self.store.lock:
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                connection.execute("rollback")
                raise


def plan_batches(requests: Mapping[str, Request], most_requests: int, most_bytes: int) -> Iterator[list[str]]:
    """Yield the keys of each batch: one model, at most so many requests and bytes; a request alone may be larger."""
    for model in dict.fromkeys(request.model for request in requests.values()):
        part: list[str] = []
        size = 0
        for key, request in requests.items():
            if request.model != model:
                continue
            length = count_line_bytes(key, request.body)
            if part and (len(part) == most_requests or size + length > most_bytes):
                yield part
                part, size = [], 0
            part.append(key)
            size += length
        if part:
            yield part


def _some(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    return (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))
