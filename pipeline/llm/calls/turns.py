"""Waits for the claim on a key in an event loop, and keeps the claims that are held alive."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipeline.llm.calls.together import Together
from pipeline.runtime.claims import LEASE_S, Claims
from pipeline.runtime.store import Store

FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.5
RENEWALS = 4
"""a lease begins anew so often before it would be over"""


class Turns:
    """One process at a time buys a key; `sleep` is awaited between looks, and raises when the run stops."""

    def __init__(self, store: Store, sleep: Callable[[float], Awaitable[None]], lease_s: float = LEASE_S):
        self.claims, self.sleep = Claims(store, lease_s), sleep
        self._take = Together(self.claims.take)

    async def wait(self, key: str) -> dict[str, Any] | None:
        """Return the answer that another process has bought, or None once it is our turn to buy it.

        Our turn ends when the answer is stored (`Store.buy_many`), or by `release`.
        """
        pause = FIRST_LOOK_S
        while (taken := await self._take(key)) is False:
            await self.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK_S)
        return taken if isinstance(taken, dict) else None

    def is_inherited(self, key: str) -> bool:
        """Return, once, whether the turn before ours ended without an answer, as by kill -9: it may have been paid."""
        if key not in self.claims.inherited:
            return False
        self.claims.inherited.remove(key)
        return True

    def release(self, key: str) -> None:
        """End our turn without an answer."""
        self.claims.release([key])

    def close(self) -> None:
        """Let go of all claims."""
        self.claims.close()

    async def renew(self) -> None:
        """Renew the claims for as long as this is awaited."""
        while True:
            await asyncio.sleep(self.claims.lease_s / RENEWALS)
            self.claims.renew()
