"""Buys answers request by request: at the pace that the endpoint allows, within a deadline, again what may pass."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from pipeline.llm.calls.answers import StoredAnswer, read_usage
from pipeline.llm.calls.deadlines import WATCH_S, Deadlines
from pipeline.llm.calls.endpoint import ATTEMPTS, BACK_OFF_S, LONGEST_BACK_OFF_S, PATIENCE_S, TIMEOUT_S, Reply
from pipeline.llm.calls.ledger import MEND, Ledger
from pipeline.llm.calls.limits import Limits, Ticket
from pipeline.llm.calls.stream import Stream
from pipeline.llm.calls.turns import Turns

GONE_AFTER = 10
"""ours: so many failures in a row without an answer, or twice the requests at once, mean that the endpoint is gone"""


class Direct:
    """Single requests, many at once."""

    def __init__(self, ledger: Ledger):
        self.ledger, self.params, self.endpoint = ledger, ledger.params, ledger.endpoint
        self.limits = Limits(self.params.requests_per_minute, self.params.tokens_per_minute, time.monotonic())
        self.deadlines = Deadlines(self.params.timeout_s or TIMEOUT_S)
        self.failures = 0
        self.refused_since: float | None = None
        self.stream = Stream(self.params.max_concurrency, self._begin, self._end, ledger.interrupt)

    async def buy(self, key: str, body: Mapping[str, Any], sample: int) -> StoredAnswer:
        """Return the answer to `body`: another process's that buys it just now, else ours. Raises EndpointStopped."""
        try:
            stored = await self.turns.wait(key)
        except sqlite3.Error as fault:
            raise self.ledger.stop_run(f"{self.ledger.store.root}: no answer can be stored: {fault}; {MEND}") from None
        if stored is not None:
            self.ledger.counts.from_store += 1
            return StoredAnswer(key, stored)
        if self.turns.is_inherited(key):
            self.ledger.charge_expected(body)
        answer = None
        try:
            answer = await self._ask(key, body, sample)
            return answer
        finally:
            if answer is None or answer.stored is None:
                self.turns.release(key)

    async def _ask(self, key: str, body: Mapping[str, Any], sample: int) -> StoredAnswer:
        """Ask for `body` until it is answered, or has failed too often. Raises EndpointStopped."""
        ledger, attempt, waited_s, why, is_silent = self.ledger, 0, 0.0, "", True
        while attempt < (self.params.attempts or ATTEMPTS):
            async with self.slots:  # until it is stored and charged: the next request starts after that
                reply, took_s = await self._request(body, waited_s)
                if reply.kind == "answer":
                    self.failures, self.refused_since = 0, None
                    self.deadlines.note_latency(took_s)
                    return StoredAnswer(key, await ledger.keep_answer(key, body, sample, reply, took_s, attempt))
            if reply.kind == "stopped":
                raise ledger.stop_run(f"{self.endpoint.host} will not answer for {self.params.model}: {reply.why}")
            if reply.retry_after is not None and reply.retry_after > PATIENCE_S:
                minutes = f"{reply.retry_after / 60:.0f} minutes"
                raise ledger.stop_run(f"{self.endpoint.host} asks to come back in {minutes}: {reply.why}")
            if reply.kind == "rejected":
                ledger.counts.rejected += 1
                self._note_failure(reply)
                return StoredAnswer(key, why=reply.why)
            if reply.kind == "transient":
                ledger.counts.transient += 1
                if tokens := read_usage(reply.body):
                    ledger.charge_unusable(tokens)
                elif reply.lost:
                    ledger.charge_expected(body)
                self._note_failure(reply)
                attempt, why = attempt + 1, reply.why
                # nobody there, or somebody who speaks no JSON: no address of this API
                is_silent &= reply.status in (0, 200) and reply.body is None
                vain_s = 0.0 if reply.status else took_s
                waited_s = max(waited_s, vain_s)
                if attempt < (self.params.attempts or ATTEMPTS):
                    # jitter: those that failed together do not come back together
                    back_off = min(BACK_OFF_S * 2 ** (attempt - 1), LONGEST_BACK_OFF_S) * random.uniform(0.5, 1)
                    back_off = max(0.0, back_off - vain_s)
                    await ledger.sleep(back_off if reply.retry_after is None else reply.retry_after)
        why = f"{why} ({attempt} requests)"
        if is_silent and not (ledger.counts.answers or ledger.counts.from_store):
            raise ledger.stop_run(
                f"{self.endpoint.host} gives no answer to the first request: {why}; look at base_url and "
                "the server, then run again"
            )
        return StoredAnswer(key, why=why)

    async def _request(self, body: Mapping[str, Any], waited_s: float) -> tuple[Reply, float]:
        """Wait for a turn, send once, and tell the limits what happened; return the reply and its seconds."""
        async with self.gate:  # one looks at the limits, the others queue behind it
            tokens = self.ledger.expected.estimate_total(body)
            while (wait_s := self.limits.wait_s(tokens, time.monotonic())) > 0:
                await self.ledger.sleep(min(wait_s, WATCH_S))  # an answer that comes meanwhile may shorten it
            self.ledger.check_may_send()
            sent_at = time.monotonic()
            ticket = self.limits.let_out(tokens, sent_at)
        self.ledger.counts.requests += 1
        try:
            async with self.deadlines.within(waited_s, sent_at):
                reply = await self.endpoint.send(body)
        except TimeoutError:
            reply = Reply("transient", why=f"no answer within {time.monotonic() - sent_at:.0f} s", lost=True)
        now = time.monotonic()
        self._note_reply(ticket, reply, now)
        return reply, now - sent_at

    def _note_reply(self, ticket: Ticket, reply: Reply, now: float) -> None:
        if reply.kind == "limited":
            self.ledger.counts.limited += 1
            self.limits.note_refusal(ticket, reply.headers, reply.retry_after, now)
            if self.refused_since is None:
                self.refused_since = now
            if now - self.refused_since > PATIENCE_S:
                minutes = (now - self.refused_since) / 60
                raise self.ledger.stop_run(
                    f"{self.endpoint.host} answers nothing but 429 for {minutes:.0f} minutes: {reply.why}"
                )
        elif reply.status:
            tokens = self.ledger.count_tokens(reply)
            self.limits.note_answer(ticket, reply.headers, ticket.tokens if tokens is None else sum(tokens), now)

    def _note_failure(self, reply: Reply) -> None:
        counts = self.ledger.counts
        if 0 < reply.status < 500 and (counts.answers or counts.from_store):
            return  # it is there and takes our kind of questions: a later run may ask nothing but what never succeeds
        self.failures += 1
        if self.failures >= max(GONE_AFTER, 2 * self.params.max_concurrency):
            raise self.ledger.stop_run(
                f"{self.endpoint.host}: {self.failures} requests in a row without an answer, the last: {reply.why}; "
                "answers so far are kept, run again to go on"
            )

    async def _begin(self) -> None:
        await self.ledger.begin()
        self.slots, self.gate = asyncio.Semaphore(self.params.max_concurrency), asyncio.Lock()
        self.failures, self.refused_since = 0, None
        self.turns = Turns(self.ledger.store, self.ledger.sleep)
        self.watching = [asyncio.create_task(task) for task in (self.deadlines.watch(), self.turns.renew())]

    async def _end(self) -> None:
        for task in self.watching:
            task.cancel()
        self.turns.close()
        await self.ledger.end()
