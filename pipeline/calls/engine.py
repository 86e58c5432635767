"""Buys answers: looks in the store, keeps to limits and budget, retries what may be retried, stores before use."""

import asyncio
import os
import random
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.calls.answers import usage
from pipeline.calls.endpoint import TIMEOUT_S, Endpoint, EndpointStopped, Reply
from pipeline.calls.limits import Limits
from pipeline.calls.prices import find_price, price_for_budget
from pipeline.calls.stream import Stream
from pipeline.calls.together import Together
from pipeline.io import write_json
from pipeline.store import Purchase, Store, account, home, project, store_key
from schemas.params import Endpoint as EndpointParams

if TYPE_CHECKING:
    from pipeline.calls.batch import Batches

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 5  # ours: the authors' code skips what fails
GONE_AFTER = 10
"""ours: so many failures in a row without an answer, or twice the requests at once, mean that the endpoint is gone"""
PATIENCE_S = 900.0
"""ours: refused for its rate so long without one answer, or told to wait longer, the run stops and says so"""
BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 8.0
SLOW, LEAST_DEADLINE_S, LEAST_SEEN, WATCH_S = 6.0, 5.0, 20, 0.5
"""a request that takes 6 times as long as 19 of 20 do, and 5 s at least, hangs; known after 20 answers"""
TOKENS_PER_CHARACTER, FIRST_OUTPUT_TOKENS = 0.25, 250.0
"""what is expected of a request before any answer has been seen"""


@dataclass
class Counts:
    """What this process asked for and what it got; the server's log says the same."""

    requests: int = 0
    answers: int = 0
    from_store: int = 0
    limited: int = 0
    transient: int = 0
    rejected: int = 0
    unmetered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Bought:
    """An answer as the store keeps it, and its key; `why` is set instead when there is none."""

    key: str
    stored: Mapping[str, Any] | None = None
    why: str = ""


def answer_key(kind: str, host: str, body: Mapping[str, Any], sample: int = 0, revision: str | None = None) -> str:
    """Return the store's key: all that an answer depends on, which is what is sent, to whom, and which draw.

    `revision` is that of weights which the model's name alone does not tell.
    """
    more = {"revision": revision} if revision else {}
    return store_key(kind, host=host, body=body, sample=sample, **more)


class Engine:
    """One endpoint, its limits, its price and the store. `map` runs coroutines that ask by `answer`."""

    def __init__(self, kind: str, params: EndpointParams, store: Store | None = None, revision: str | None = None):
        self.kind, self.params, self.revision = kind, params, revision
        self.endpoint = Endpoint(params)
        self.store = store or Store()
        self.price = find_price(params, self.endpoint.base_url, self.store)
        price_for_budget(params, self.price)
        self.limits = Limits(params.requests_per_minute, params.tokens_per_minute, time.monotonic())
        self.counts = Counts()
        self.begun_at = time.time()
        self.account = account(self.endpoint.host, params.model)
        self.spent_usd = self.store.spent(self.account)
        self.latencies: deque[float] = deque(maxlen=400)
        self.usual_s: float | None = None
        self.expected = [TOKENS_PER_CHARACTER, FIRST_OUTPUT_TOKENS]
        self.asking: dict[str, asyncio.Future[Bought]] = {}
        self.open: dict[asyncio.Timeout, tuple[float, int]] = {}
        self.look_up, self.journal = Together(self.store.get_many), Together(self._journal)
        self.failures = 0
        self.stopped: EndpointStopped | None = None
        self.buy = self._buy
        self.stream = Stream(params.max_concurrency, self._begin, self._end, self._stop)
        if params.mode == "batch":
            from pipeline.calls.batch import Batches

            self.use(Batches(self))

    def use(self, batches: "Batches") -> None:
        """Buy in batches from now on, not request by request."""
        self.buy, self.stream = batches.buy, batches.stream

    def usd(self, input_tokens: float, output_tokens: float) -> float:
        """Return what so many tokens cost; 0 where the price is not known."""
        return self.price.usd(input_tokens, output_tokens) if self.price else 0.0

    def map(self, items: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> Iterator[R]:
        """Yield `ask(item)` in order, many at once. Raises EndpointStopped when the endpoint cannot be used."""
        return self.stream.map(items, ask)

    def key(self, body: Mapping[str, Any], sample: int = 0) -> str:
        return answer_key(self.kind, self.endpoint.host, body, sample, self.revision)

    async def answer(self, body: Mapping[str, Any], sample: int = 0) -> Bought:
        """Return the stored answer to `body`, else buy it; equal questions side by side are bought once.

        `sample` tells apart equal questions that shall have answers of their own. Raises EndpointStopped.
        """
        key = self.key(body, sample)
        if (same := self.asking.get(key)) is not None:
            return await same
        self.asking[key] = promise = asyncio.get_running_loop().create_future()
        try:
            bought = await self._stored_or_bought(key, body, sample)
            promise.set_result(bought)
            return bought
        except BaseException as fault:
            promise.set_exception(fault)
            promise.exception()  # seen: nobody may be waiting
            raise
        finally:
            del self.asking[key]

    async def _stored_or_bought(self, key: str, body: Mapping[str, Any], sample: int) -> Bought:
        if (stored := await self.look_up(key)) is None:
            return await self.buy(key, body, sample)
        self.counts.from_store += 1
        return Bought(key, stored)

    async def _buy(self, key: str, body: Mapping[str, Any], sample: int) -> Bought:
        attempt, why = 0, ""
        while attempt < (self.params.attempts or ATTEMPTS):
            async with self.slots:  # until it is stored and charged: the next request starts after that
                reply, took = await self._request(body, attempt)
                if reply.kind == "answer":
                    return Bought(key, await self._keep(key, body, sample, reply, took, attempt))
            if reply.kind == "stopped":
                raise self._stopped(f"{self.endpoint.host} will not answer for {self.params.model}: {reply.why}")
            if (reply.retry_after or 0) > PATIENCE_S:
                asked = f"{reply.retry_after / 60:.0f} minutes"
                raise self._stopped(f"{self.endpoint.host} asks to come back in {asked}: {reply.why}")
            if reply.kind == "rejected":
                self.counts.rejected += 1
                self._failed(reply)
                return Bought(key, why=reply.why)
            if reply.kind == "transient":
                self.counts.transient += 1
                if wasted := usage(reply.body):
                    self.spent_usd = self.store.charge(self.account, 1, *wasted, self.usd(*wasted))
                self._failed(reply)
                attempt, why = attempt + 1, reply.why
                if attempt < (self.params.attempts or ATTEMPTS):
                    # jitter: those that failed together do not come back together
                    back_off = min(BACK_OFF_S * 2 ** (attempt - 1), LONGEST_BACK_OFF_S) * random.uniform(0.5, 1)
                    await self._sleep(back_off if reply.retry_after is None else reply.retry_after)
        return Bought(key, why=f"{why} ({attempt} requests)")

    async def _request(self, body: Mapping[str, Any], attempt: int) -> tuple[Reply, float]:
        """Wait for a turn, send once, and tell the limits what happened; return the reply and its seconds."""
        async with self.gate:  # one looks at the limits, the others queue behind it
            tokens = self._expected_tokens(body)
            while (wait := self.limits.wait(tokens, time.monotonic())) > 0:
                await self._sleep(min(wait, WATCH_S))  # an answer that comes meanwhile may shorten it
            self._go_on()
            sent_at = time.monotonic()
            ticket = self.limits.let_out(tokens, sent_at)
        self.counts.requests += 1
        deadline = self._deadline_s(attempt)
        timeout = asyncio.timeout(deadline)
        self.open[timeout] = sent_at, attempt
        try:
            async with timeout:
                reply = await self.endpoint.send(body)
        except TimeoutError:
            reply = Reply("transient", why=f"no answer within {time.monotonic() - sent_at:.0f} s")
        finally:
            del self.open[timeout]
        now = time.monotonic()
        if reply.kind == "limited":
            self.counts.limited += 1
            self.limits.refused(ticket, reply.headers, reply.retry_after, now)
            self.refused_since = self.refused_since or now
            if now - self.refused_since > PATIENCE_S:
                minutes = (now - self.refused_since) / 60
                raise self._stopped(
                    f"{self.endpoint.host} answers nothing but 429 for {minutes:.0f} minutes: {reply.why}"
                )
        elif reply.status:
            tokens = self._count(reply)
            self.limits.answered(ticket, reply.headers, ticket.tokens if tokens is None else sum(tokens), now)
        return reply, now - sent_at

    def _count(self, reply: Reply) -> tuple[int, int] | None:
        """Count the tokens of a reply that was paid for, (input, output); None where the server does not tell."""
        tokens = usage(reply.body)
        self.counts.unmetered += tokens is None and reply.status == 200
        if tokens:
            self.counts.input_tokens += tokens[0]
            self.counts.output_tokens += tokens[1]
            self.counts.usd += self.usd(*tokens)
        return tokens

    async def _keep(
        self, key: str, body: Mapping[str, Any], sample: int, reply: Reply, took: float, attempt: int
    ) -> dict[str, Any]:
        """Count an answer and put it into the store; return the one that stays."""
        self.failures, self.refused_since = 0, None
        self.latencies.append(took)
        self.counts.answers += 1
        tokens = usage(reply.body) or (0, 0)
        if any(tokens):
            self._learn_tokens(body, tokens)
        elif reply.status == 200:  # a server that tells no usage is charged what others would ask, or no budget holds
            tokens = self._expected_input(body), round(self.expected[1] * (body.get("n") or 1))
            self.counts.usd += self.usd(*tokens)
        request = {"host": self.endpoint.host, "body": body, "sample": sample}
        if self.revision:
            request["revision"] = self.revision
        answer = {
            "status": reply.status,
            "body": reply.body,
            "latency_s": round(took, 3),
            "attempt": attempt,
            "request_id": reply.headers.get("x-request-id"),
        }
        return await self.journal(Purchase(key, self.kind, request, answer, tokens, self.usd(*tokens)))

    def _journal(self, bought: list[Purchase]) -> list[dict]:
        kept, self.spent_usd = self.store.buy_many(bought, self.account)
        return kept

    def _failed(self, reply: Reply) -> None:
        if 0 < reply.status < 500 and (self.counts.answers or self.counts.from_store):
            return  # it is there and takes our kind of questions: a later run may ask nothing but what never succeeds
        self.failures += 1
        if self.failures >= max(GONE_AFTER, 2 * self.params.max_concurrency):
            raise self._stopped(
                f"{self.endpoint.host}: {self.failures} requests in a row without an answer, the last: {reply.why}; "
                "answers so far are kept, run again to go on"
            )

    def _go_on(self) -> None:
        """Raise when nothing more may be sent: the run has stopped, or the budget is spent."""
        if self.stopped:
            raise self.stopped
        budget = self.params.budget_usd
        if budget is not None and self.spent_usd >= budget:
            raise self._stopped(
                f"the budget is spent: {self.spent_usd:.4f} of {budget:g} US dollars on {self.params.model}; "
                "answers so far are kept, raise budget_usd to go on"
            )

    def _stopped(self, why: str) -> EndpointStopped:
        if self.stopped is None:
            self.stopped = EndpointStopped(why)
            self.ending.set()
        return self.stopped

    def _stop(self) -> None:
        self._stopped("stopped")

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not on when the run stops."""
        try:
            await asyncio.wait_for(self.ending.wait(), seconds)
        except TimeoutError:
            return
        self._go_on()

    async def _begin(self) -> None:
        self.endpoint.open()
        self.slots = asyncio.Semaphore(self.params.max_concurrency)
        self.gate, self.ending = asyncio.Lock(), asyncio.Event()
        self.stopped, self.failures, self.refused_since = None, 0, None
        self.watching = asyncio.create_task(self._watch())

    async def _end(self) -> None:
        self.watching.cancel()
        await self.endpoint.close()
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(self.begun_at))}-{os.getpid()}-{id(self):x}.json"
        write_json(home() / "runs" / name, self.record())

    async def _watch(self) -> None:
        """Shorten the deadlines of requests in flight to what other answers have shown to be usual."""
        while True:
            await asyncio.sleep(WATCH_S)
            if len(self.latencies) >= LEAST_SEEN:
                self.usual_s = sorted(self.latencies)[int(0.95 * len(self.latencies))]
            for timeout, (sent_at, attempt) in self.open.items():
                if not timeout.expired():
                    timeout.reschedule(sent_at + self._deadline_s(attempt))

    def _deadline_s(self, attempt: int) -> float:
        """Return when a request counts as hanging: by the latencies seen, doubled with each attempt."""
        longest = self.params.timeout_s or TIMEOUT_S
        if self.usual_s is None:
            return longest
        return min(longest, max(LEAST_DEADLINE_S, SLOW * self.usual_s) * 2**attempt)

    def _expected_tokens(self, body: Mapping[str, Any]) -> float:
        return self._expected_input(body) + self.expected[1] * (body.get("n") or 1)

    def _expected_input(self, body: Mapping[str, Any]) -> int:
        return round(sum(len(message["content"]) for message in body["messages"]) * self.expected[0])

    def _learn_tokens(self, body: Mapping[str, Any], tokens: tuple[int, int]) -> None:
        characters = sum(len(message["content"]) for message in body["messages"])
        seen = tokens[0] / max(characters, 1), tokens[1] / (body.get("n") or 1)
        weight = max(0.05, 1 / self.counts.answers)
        self.expected = [old + weight * (new - old) for old, new in zip(self.expected, seen, strict=True)]

    def status(self) -> str:
        """Return what a person wants to see while it runs: what came from the store, tokens and money."""
        counts = self.counts
        tokens = counts.input_tokens + counts.output_tokens
        money = f"${self.counts.usd:.2f}" if self.price else "price unknown"
        return f"{counts.from_store} from store · {tokens / 1000:.0f}k tokens · {money}"

    def record(self) -> dict:
        """Return what this process did, for `$VPO_HOME/runs`: it differs from run to run and is part of no output."""
        return {
            "project": str(project()),
            "stage": os.environ.get("DVC_STAGE") or " ".join(sys.argv[1:2]),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.begun_at)),
            "seconds": round(time.time() - self.begun_at, 1),
            "stopped": self.stopped.message if self.stopped else None,
            "host": self.endpoint.host,
            "model": self.params.model,
            **asdict(self.counts),
        }
