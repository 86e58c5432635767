"""What both ways to buy share: the store, the budget, what is counted and charged, and how a run stops."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.llm.calls.answers import read_usage
from pipeline.llm.calls.endpoint import Endpoint, EndpointStopped, Reply
from pipeline.llm.calls.expected_tokens import ExpectedTokens
from pipeline.llm.calls.prices import find_price, require_price_for_budget
from pipeline.llm.calls.snapshots import Snapshots
from pipeline.llm.calls.together import Together
from pipeline.runtime.accounts import open_account
from pipeline.runtime.io import write_json
from pipeline.runtime.store import Purchase, Store, home, project
from schemas.params import EndpointParams

ROOM_S = 1.0
"""the disk's room is looked at so seldom"""
MEND = "make room, or see `vpo doctor`; answers so far are kept, run again to go on"


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
    given_up: int = 0
    expected_usd: float = 0.0
    """of requests that may have been answered when we had given them up; it is not part of `usd`"""


class Ledger:
    """The books of one endpoint: answers go into the store, tokens and US dollars onto its account, once each."""

    def __init__(
        self, kind: str, params: EndpointParams, endpoint: Endpoint, store: Store, revision: str | None = None
    ):
        self.kind, self.params, self.endpoint, self.store, self.revision = kind, params, endpoint, store, revision
        self.price = find_price(params, endpoint.base_url, store)
        require_price_for_budget(params, self.price)
        self.counts, self.expected = Counts(), ExpectedTokens()
        self.account = open_account(store, endpoint.host, params.model)
        self.spent_usd = store.read_spent_usd(self.account)
        requests, _, output_tokens = store.read_usage(self.account)
        self.expected.begin(requests, output_tokens)
        self.snapshots = Snapshots(store, self.account, params.model, params.snapshot_rule)
        self.begun_at = time.time()
        self.looked_for_room_at = float("-inf")
        self.stopped: EndpointStopped | None = None
        self._journal = Together(self._buy)

    async def begin(self) -> None:
        """Open the endpoint for the event loop that runs this."""
        self.endpoint.open()
        self.ending, self.stopped = asyncio.Event(), None

    async def end(self) -> None:
        """Close the endpoint and write what this process did to `$VPO_HOME/runs`."""
        await self.endpoint.close()
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(self.begun_at))}-{os.getpid()}-{id(self):x}.json"
        write_json(home() / "runs" / name, self.describe_run())
        (home() / "runs" / name).chmod(0o600)

    def cost_usd(self, input_tokens: float, output_tokens: float) -> float:
        """Return what so many tokens cost; 0 where the price is not known."""
        return self.price.cost_usd(input_tokens, output_tokens) if self.price else 0.0

    def count_tokens(self, reply: Reply) -> tuple[int, int] | None:
        """Count the tokens of a reply that was paid for, (input, output); None where the server does not tell."""
        tokens = read_usage(reply.body)
        self.counts.unmetered += tokens is None and reply.status == 200
        if tokens:
            self.counts.input_tokens += tokens[0]
            self.counts.output_tokens += tokens[1]
            self.counts.usd += self.cost_usd(*tokens)
        return tokens

    async def keep_answer(
        self, key: str, body: Mapping[str, Any], sample: int, reply: Reply, took_s: float, attempt: int
    ) -> Mapping[str, Any]:
        """Count an answer, put it into the store and charge for it; return the one that stays under `key`."""
        self.counts.answers += 1
        tokens = read_usage(reply.body) or (0, 0)
        if any(tokens):
            self.expected.learn(body, tokens, self.counts.answers)
        elif reply.status == 200:  # a server that tells no usage is charged what others would ask, or no budget holds
            tokens = self.expected.estimate_input(body), round(self.expected.estimate_output(body))
            self.counts.usd += self.cost_usd(*tokens)
        request = {"host": self.endpoint.host, "body": body, "sample": sample}
        if revision := self.snapshots.revisions.get(key, self.revision):
            request["revision"] = revision
        answer = {
            "status": reply.status,
            "body": reply.body,
            "latency_s": round(took_s, 3),
            "attempt": attempt,
            "request_id": reply.headers.get("x-request-id"),
        }
        return await self._journal(Purchase(key, self.kind, request, answer, tokens, self.cost_usd(*tokens)))

    def _buy(self, purchases: list[Purchase]) -> list[dict[str, Any]]:
        try:
            answers, self.spent_usd = self.store.buy_many(purchases, self.account)
        except sqlite3.Error as fault:  # those in flight may be lost; at least no more are bought
            raise self.stop_run(f"{self.store.root}: an answer cannot be stored: {fault}; {MEND}") from None
        return answers

    def charge_unusable(self, tokens: tuple[int, int]) -> None:
        """Charge the account for a reply that was paid for and cannot be kept."""
        self.spent_usd = self.store.charge(self.account, 1, *tokens, self.cost_usd(*tokens))

    def charge_expected(self, body: Mapping[str, Any]) -> None:
        """Charge the account for a request whose end is not known by what it is expected to take."""
        self.counts.given_up += 1
        tokens = self.expected.estimate_unknown(body, self.counts.given_up)
        self.counts.expected_usd += self.cost_usd(*tokens)
        self.charge_unusable(tokens)

    def read_spent_usd(self) -> float:
        """Return the US dollars that every process of the project has charged to the account so far."""
        self.spent_usd = self.store.read_spent_usd(self.account)
        return self.spent_usd

    def check_may_send(self) -> None:
        """Raise EndpointStopped when nothing more may be sent: the run has stopped, the budget is spent, or no room."""
        if self.stopped:
            raise self.stopped
        if time.monotonic() - self.looked_for_room_at > ROOM_S:
            self.looked_for_room_at = time.monotonic()
            if lack := self.store.find_lack_of_room():
                raise self.stop_run(lack)
        budget = self.params.budget_usd
        if budget is not None and self.spent_usd >= budget:
            raise self.stop_run(
                f"the budget is spent: {self.spent_usd:.4f} of {budget:g} US dollars on {self.params.model}; "
                "answers so far are kept, raise budget_usd to go on"
            )

    def stop_run(self, why: str) -> EndpointStopped:
        """Stop the run and return the fault to raise: of several the first one."""
        if self.stopped is None:
            self.stopped = EndpointStopped(why)
            self.ending.set()
        return self.stopped

    def interrupt(self) -> None:
        """Stop the run because nobody reads its results any more."""
        self.stop_run("stopped")

    async def sleep(self, seconds: float) -> None:
        """Sleep until the time is over. Raises EndpointStopped at once when the run stops."""
        try:
            await asyncio.wait_for(self.ending.wait(), seconds)
        except TimeoutError:
            return
        self.check_may_send()

    def describe_status(self) -> str:
        """Return what a person wants to see while it runs: what came from the store, tokens and money."""
        counts = self.counts
        tokens = counts.input_tokens + counts.output_tokens
        money = f"${counts.usd:.2f}" if self.price else "price unknown"
        return f"{counts.from_store} from store · {tokens / 1000:.0f}k tokens · {money}"

    def describe_run(self) -> dict[str, Any]:
        """Return what this process did: it differs from run to run and is part of no output."""
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
