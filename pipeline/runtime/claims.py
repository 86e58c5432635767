"""Claims: of the processes that share a store, one at a time buys the answer to a key; the others wait for it.

A claim is a row with a lease. It ends when it is released, when the lease is over, or when the lock of its holder is
free: the kernel frees it also on kill -9.
"""

import contextlib
import sqlite3
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.store import Store

LEASE_S = 60.0
"""ours: a holder that renews its claims no more, such as a laptop that sleeps, is waited for so long"""

FORGOTTEN_S = 30 * 86_400.0
"""ours: so long after its end a claim is kept for who goes on with its question"""


class Claims:
    """The claims of one holder in a store. A claim that is not renewed within `lease_s` ends.

    `inherited` has the keys of ours that another holder left without an answer: it may have been on its way, and paid.
    """

    def __init__(self, store: Store, lease_s: float = LEASE_S):
        import fcntl

        self.store, self.lease_s, self.holder = store, lease_s, uuid.uuid4().hex
        self.inherited: set[str] = set()
        self.folder = store.root / "claims"
        self.folder.mkdir(exist_ok=True)
        path = self.folder / self.holder
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        self.close = weakref.finalize(self, _let_go, path, file)

    def take(self, keys: Sequence[str]) -> list[dict[str, Any] | bool]:
        """Return for each key the answer that is stored meanwhile, else True where the claim is ours now, else False.

        A claim that is True is ours until it is released, and has to be renewed.
        """
        with self._changing() as connection:
            taken: list[dict[str, Any] | bool] = []
            stored = self.store.read_many(keys)
            dead: dict[str, bool] = {}
            for key, answer in zip(keys, stored, strict=True):
                if answer is not None:
                    taken.append(answer)
                    continue
                row = connection.execute("select holder, until from claims where key = ?", (key,)).fetchone()
                if row and row[0] != self.holder and row[1] > time.time():
                    if row[0] not in dead:
                        dead[row[0]] = self._is_gone(row[0])
                    if not dead[row[0]]:
                        taken.append(False)
                        continue
                if row and row[0] != self.holder:
                    self.inherited.add(key)
                until = time.time() + self.lease_s
                connection.execute("insert or replace into claims values (?, ?, ?)", (key, self.holder, until))
                taken.append(True)
            return taken

    def release(self, keys: Sequence[str]) -> None:
        """Give up claims, so that others need not wait for their end."""
        with self._changing() as connection:
            connection.executemany(
                "delete from claims where key = ? and holder = ?", ((key, self.holder) for key in keys)
            )

    def renew(self) -> None:
        """Let the lease of all claims of this holder begin anew; forget those that ended long ago."""
        now = time.time()
        with self._changing() as connection:
            connection.execute("update claims set until = ? where holder = ?", (now + self.lease_s, self.holder))
            connection.execute("delete from claims where until < ?", (now - FORGOTTEN_S,))

    def _is_gone(self, holder: str) -> bool:
        """Return whether nobody holds the lock of `holder`; it is removed where the holder closed."""
        import fcntl

        path = self.folder / holder
        try:
            file = path.open()
        except FileNotFoundError:
            return True
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        path.unlink(missing_ok=True)
        return True

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self.store.transaction():
            yield self.store.connection


def _let_go(path: Path, file: Any) -> None:
    path.unlink(missing_ok=True)
    file.close()
