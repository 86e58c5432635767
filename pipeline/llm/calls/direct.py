"""Buys answers request by request: at the pace that the endpoint allows, within a deadline, again what may pass."""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.llm.calls.answers import Bought, usage
from pipeline.llm.calls.deadlines import WATCH_S, Deadlines
from pipeline.llm.calls.endpoint import ATTEMPTS, BACK_OFF_S, LONGEST_BACK_OFF_S, PATIENCE_S, TIMEOUT_S, Reply
from pipeline.llm.calls.limits import Limits
from pipeline.llm.calls.stream import Stream

if TYPE_CHECKING:
    from pipeline.llm.calls.engine import Engine

GONE_AFTER = 10
"""ours: so many failures in a row without an answer, or twice the requests at once, mean that the endpoint is gone"""


class Direct:
    """An engine's single requests, many at once."""

    def __init__(self, engine: "Engine"):
        self.engine, self.params, self.endpoint = engine, engine.params, engine.endpoint
        self.limits = Limits(self.params.requests_per_minute, self.params.tokens_per_minute, time.monotonic())
        self.deadlines = Deadlines(self.params.timeout_s or TIMEOUT_S)
        self.stream = Stream(self.params.max_concurrency, self._begin, self._end, engine.stop)

    async def buy(self, key: str, body: Mapping[str, Any], sample: int) -> Bought:
        """Ask for `body` until it is answered, or has failed too often. Raises EndpointStopped."""
        engine, attempt, why = self.engine, 0, ""
        while attempt < (self.params.attempts or ATTEMPTS):
            async with self.slots:  # until it is stored and charged: the next request starts after that
                reply, took = await self._request(body, attempt)
                if reply.kind == "answer":
                    self.failures, self.refused_since = 0, None
                    self.deadlines.seen(took)
                    return Bought(key, await engine.keep(key, body, sample, reply, took, attempt))
            if reply.kind == "stopped":
                raise engine.stopping(f"{self.endpoint.host} will not answer for {self.params.model}: {reply.why}")
            if (reply.retry_after or 0) > PATIENCE_S:
                asked = f"{reply.retry_after / 60:.0f} minutes"
                raise engine.stopping(f"{self.endpoint.host} asks to come back in {asked}: {reply.why}")
            if reply.kind == "rejected":
                engine.counts.rejected += 1
                self._failed(reply)
                return Bought(key, why=reply.why)
            if reply.kind == "transient":
                engine.counts.transient += 1
                if wasted := usage(reply.body):
                    engine.spent_usd = engine.store.charge(engine.account, 1, *wasted, engine.usd(*wasted))
                self._failed(reply)
                attempt, why = attempt + 1, reply.why
                if attempt < (self.params.attempts or ATTEMPTS):
                    # jitter: those that failed together do not come back together
                    back_off = min(BACK_OFF_S * 2 ** (attempt - 1), LONGEST_BACK_OFF_S) * random.uniform(0.5, 1)
                    await engine.sleep(back_off if reply.retry_after is None else reply.retry_after)
        return Bought(key, why=f"{why} ({attempt} requests)")

    async def _request(self, body: Mapping[str, Any], attempt: int) -> tuple[Reply, float]:
        """Wait for a turn, send once, and tell the limits what happened; return the reply and its seconds."""
        async with self.gate:  # one looks at the limits, the others queue behind it
            tokens = self.engine.expected_tokens(body)
            while (wait := self.limits.wait(tokens, time.monotonic())) > 0:
                await self.engine.sleep(min(wait, WATCH_S))  # an answer that comes meanwhile may shorten it
            self.engine.go_on()
            sent_at = time.monotonic()
            ticket = self.limits.let_out(tokens, sent_at)
        self.engine.counts.requests += 1
        try:
            async with self.deadlines.within(attempt, sent_at):
                reply = await self.endpoint.send(body)
        except TimeoutError:
            reply = Reply("transient", why=f"no answer within {time.monotonic() - sent_at:.0f} s")
        now = time.monotonic()
        if reply.kind == "limited":
            self.engine.counts.limited += 1
            self.limits.refused(ticket, reply.headers, reply.retry_after, now)
            self.refused_since = self.refused_since or now
            if now - self.refused_since > PATIENCE_S:
                minutes = (now - self.refused_since) / 60
                raise self.engine.stopping(
                    f"{self.endpoint.host} answers nothing but 429 for {minutes:.0f} minutes: {reply.why}"
                )
        elif reply.status:
            tokens = self.engine.count(reply)
            self.limits.answered(ticket, reply.headers, ticket.tokens if tokens is None else sum(tokens), now)
        return reply, now - sent_at

    def _failed(self, reply: Reply) -> None:
        if 0 < reply.status < 500 and (self.engine.counts.answers or self.engine.counts.from_store):
            return  # it is there and takes our kind of questions: a later run may ask nothing but what never succeeds
        self.failures += 1
        if self.failures >= max(GONE_AFTER, 2 * self.params.max_concurrency):
            raise self.engine.stopping(
                f"{self.endpoint.host}: {self.failures} requests in a row without an answer, the last: {reply.why}; "
                "answers so far are kept, run again to go on"
            )

    async def _begin(self) -> None:
        await self.engine.begin()
        self.slots, self.gate = asyncio.Semaphore(self.params.max_concurrency), asyncio.Lock()
        self.failures, self.refused_since = 0, None
        self.watching = asyncio.create_task(self.deadlines.watch())

    async def _end(self) -> None:
        self.watching.cancel()
        await self.engine.end()
