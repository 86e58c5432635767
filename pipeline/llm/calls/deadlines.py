"""When a request counts as hanging: by how long other answers took, also while it is under way."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

LEAST_SEEN, LATELY, WATCH_S = 20, 400, 0.25
"""nothing is known before 20 answers; the last 400 count"""
MARGIN, DOUBT, LEAST_DEADLINE_S = 1.25, 20.0, 1.0
"""ours: a request hangs that takes 1.25 + 20/n times as long as the slowest of n answers, and 1 s at least"""
SLOW, LEAST_SLOW_S = 6.0, 5.0
"""where several are late at once the host is slow: each has 6 times as long as 19 of 20 took, and 5 s at least"""
FEW, FEW_SHARE = 2, 0.05
"""so many requests in flight, and so large a share of them, may be late and still be the unlucky ones"""


@dataclass
class Waiting:
    """A request in flight: when it was sent, and the longest that an attempt at it was waited for in vain."""

    sent_at: float
    waited_s: float


class Deadlines:
    """`longest_s` holds until enough answers were seen, and is never exceeded."""

    def __init__(self, longest_s: float):
        self.longest_s = longest_s
        self.latencies: deque[float] = deque(maxlen=LATELY)
        self.open: dict[asyncio.Timeout, Waiting] = {}
        self.hangs_s = self.slow_s = longest_s
        """the seconds after which one alone hangs, and after which any does though the whole host is slow"""

    def note_latency(self, took_s: float) -> None:
        """Take note of an answer and the seconds it took."""
        self.latencies.append(took_s)

    @asynccontextmanager
    async def within(self, waited_s: float, sent_at: float) -> AsyncIterator[None]:
        """Raise TimeoutError in a request that hangs; one that was waited for in vain has twice as long as then."""
        waiting = Waiting(sent_at, waited_s)
        timeout = asyncio.timeout(self._allow_s(self.slow_s, waiting))
        self.open[timeout] = waiting
        try:
            async with timeout:
                yield
        finally:
            del self.open[timeout]

    async def watch(self) -> None:
        """Move the deadlines of requests in flight to what other answers have shown to be usual."""
        while True:
            await asyncio.sleep(WATCH_S)
            if (n := len(self.latencies)) >= LEAST_SEEN:
                ranked = sorted(self.latencies)
                self.hangs_s = max(LEAST_DEADLINE_S, (MARGIN + DOUBT / n) * ranked[-1])
                self.slow_s = max(self.hangs_s, LEAST_SLOW_S, SLOW * ranked[int(0.95 * n)])
            now = asyncio.get_running_loop().time()
            late = [one for one in self.open.values() if now - one.sent_at > self._allow_s(self.hangs_s, one)]
            is_host = len(late) > max(FEW, FEW_SHARE * len(self.open))
            for timeout, waiting in self.open.items():
                if not timeout.expired():
                    usual_s = self.slow_s if is_host else self.hangs_s
                    timeout.reschedule(waiting.sent_at + self._allow_s(usual_s, waiting))

    def _allow_s(self, usual_s: float, waiting: Waiting) -> float:
        return min(self.longest_s, max(usual_s, 2 * waiting.waited_s))
