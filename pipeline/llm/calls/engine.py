"""Buys answers once: looks in the store, has what is not there bought by `direct` or `batch`, stores before use.

What both ways share is here: the budget, what is counted and charged, and how the run stops.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from pipeline.llm.calls.answers import Bought, usage
from pipeline.llm.calls.batch import Batches
from pipeline.llm.calls.direct import Direct
from pipeline.llm.calls.endpoint import Endpoint, EndpointStopped, Reply
from pipeline.llm.calls.prices import find_price, price_for_budget
from pipeline.llm.calls.together import Together
from pipeline.runtime.io import write_json
from pipeline.runtime.store import Purchase, Store, account, home, project, store_key
from schemas.params import EndpointParams

T = TypeVar("T")
R = TypeVar("R")

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


def answer_key(kind: str, host: str, body: Mapping[str, Any], sample: int = 0, revision: str | None = None) -> str:
    """Return the store's key: all that an answer depends on, which is what is sent, to whom, and which draw.

    `revision` is that of weights which the model's name alone does not tell.
    """
    more = {"revision": revision} if revision else {}
    return store_key(kind, host=host, body=body, sample=sample, **more)


class Engine:
    """One endpoint, its price and the store. `map` runs coroutines that ask by `answer`."""

    def __init__(self, kind: str, params: EndpointParams, store: Store | None = None, revision: str | None = None):
        self.kind, self.params, self.revision = kind, params, revision
        self.endpoint = Endpoint(params)
        self.store = store or Store()
        self.price = find_price(params, self.endpoint.base_url, self.store)
        price_for_budget(params, self.price)
        self.counts = Counts()
        self.begun_at = time.time()
        self.account = account(self.endpoint.host, params.model)
        self.spent_usd = self.store.spent(self.account)
        self.expected = [TOKENS_PER_CHARACTER, FIRST_OUTPUT_TOKENS]
        self.asking: dict[str, asyncio.Future[Bought]] = {}
        self.look_up, self.journal = Together(self.store.get_many), Together(self._journal)
        self.stopped: EndpointStopped | None = None
        self.use(Batches(self) if params.mode == "batch" else Direct(self))

    def use(self, way: Direct | Batches) -> None:
        """Buy by this way from now on."""
        self.buy, self.stream = way.buy, way.stream

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

    def count(self, reply: Reply) -> tuple[int, int] | None:
        """Count the tokens of a reply that was paid for, (input, output); None where the server does not tell."""
        tokens = usage(reply.body)
        self.counts.unmetered += tokens is None and reply.status == 200
        if tokens:
            self.counts.input_tokens += tokens[0]
            self.counts.output_tokens += tokens[1]
            self.counts.usd += self.usd(*tokens)
        return tokens

    async def keep(
        self, key: str, body: Mapping[str, Any], sample: int, reply: Reply, took: float, attempt: int
    ) -> dict[str, Any]:
        """Count an answer and put it into the store; return the one that stays."""
        self.counts.answers += 1
        tokens = usage(reply.body) or (0, 0)
        if any(tokens):
            self._learn_tokens(body, tokens)
        elif reply.status == 200:  # a server that tells no usage is charged what others would ask, or no budget holds
            tokens = self.expected_input(body), round(self.expected[1] * (body.get("n") or 1))
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

    def go_on(self) -> None:
        """Raise when nothing more may be sent: the run has stopped, or the budget is spent."""
        if self.stopped:
            raise self.stopped
        budget = self.params.budget_usd
        if budget is not None and self.spent_usd >= budget:
            raise self.stopping(
                f"the budget is spent: {self.spent_usd:.4f} of {budget:g} US dollars on {self.params.model}; "
                "answers so far are kept, raise budget_usd to go on"
            )

    def stopping(self, why: str) -> EndpointStopped:
        """Return the fault that ends the run; it is the first one told."""
        if self.stopped is None:
            self.stopped = EndpointStopped(why)
            self.ending.set()
        return self.stopped

    def stop(self) -> None:
        self.stopping("stopped")

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not on when the run stops."""
        try:
            await asyncio.wait_for(self.ending.wait(), seconds)
        except TimeoutError:
            return
        self.go_on()

    async def begin(self) -> None:
        self.endpoint.open()
        self.ending, self.stopped = asyncio.Event(), None

    async def end(self) -> None:
        await self.endpoint.close()
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(self.begun_at))}-{os.getpid()}-{id(self):x}.json"
        write_json(home() / "runs" / name, self.record())

    def expected_tokens(self, body: Mapping[str, Any]) -> float:
        return self.expected_input(body) + self.expected[1] * (body.get("n") or 1)

    def expected_input(self, body: Mapping[str, Any]) -> int:
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
