"""When a request counts as hanging: by what other answers have shown to be usual, also while it is under way."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SLOW, LEAST_DEADLINE_S, LEAST_SEEN, WATCH_S = 6.0, 5.0, 20, 0.5
"""a request that takes 6 times as long as 19 of 20 do, and 5 s at least, hangs; known after 20 answers"""


class Deadlines:
    """`longest_s` holds until enough answers were seen, and is never exceeded."""

    def __init__(self, longest_s: float):
        self.longest_s = longest_s
        self.latencies: deque[float] = deque(maxlen=400)
        self.usual_s: float | None = None
        self.open: dict[asyncio.Timeout, tuple[float, int]] = {}

    def note_latency(self, took_s: float) -> None:
        """Take note of an answer and the seconds it took."""
        self.latencies.append(took_s)

    @asynccontextmanager
    async def within(self, attempt: int, sent_at: float) -> AsyncIterator[None]:
        """Raise TimeoutError in a request that hangs; each attempt may take twice as long as the one before."""
        timeout = asyncio.timeout(self._deadline_s(attempt))
        self.open[timeout] = sent_at, attempt
        try:
            async with timeout:
                yield
        finally:
            del self.open[timeout]

    async def watch(self) -> None:
        """Shorten the deadlines of requests in flight to what other answers have shown to be usual."""
        while True:
            await asyncio.sleep(WATCH_S)
            if len(self.latencies) >= LEAST_SEEN:
                self.usual_s = sorted(self.latencies)[int(0.95 * len(self.latencies))]
            for timeout, (sent_at, attempt) in self.open.items():
                if not timeout.expired():
                    timeout.reschedule(sent_at + self._deadline_s(attempt))

    def _deadline_s(self, attempt: int) -> float:
        if self.usual_s is None:
            return self.longest_s
        return min(self.longest_s, max(LEAST_DEADLINE_S, SLOW * self.usual_s) * 2**attempt)
