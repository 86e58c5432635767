"""Buys answers by the Batch API, at half the price and within a day: same questions, same store, same checks.

Conversations await their answers as they do in direct mode. When all of them wait and no more can be read, what they
wait for becomes one batch. A batch outlives the process: the next run finds it in the store or, where the run was
killed while it was made, in the server's list.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from pipeline.llm.calls.answers import Bought
from pipeline.llm.calls.batch_records import Record, Records, Request
from pipeline.llm.calls.batch_results import Results
from pipeline.llm.calls.batch_server import Server
from pipeline.llm.calls.endpoint import ATTEMPTS, Reply
from pipeline.llm.calls.stream import Stream

if TYPE_CHECKING:
    from pipeline.llm.calls.engine import Engine

CALM_TURNS = 12
"""turns of the event loop without a new question; a conversation goes from an answer to its next question in fewer"""
NO_ROOM = "token_limit_exceeded"
"""the account has too many tokens in batches under way"""


@dataclass(frozen=True)
class Sizes:
    """OpenAI's limits for a batch, and ours: batches at once, conversations under way, seconds between looks."""

    requests: int = 50_000
    bytes: int = 200_000_000
    at_once: int = 20
    conversations: int = 50_000
    first_look_s: float = 2.0
    longest_look_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation that waits for the answer to `body`."""

    body: Mapping[str, Any]
    sample: int
    answer: asyncio.Future[Bought]


class Batches:
    """Takes the place of an engine's single requests."""

    def __init__(self, engine: "Engine", sizes: Sizes | None = None):
        self.engine, self.sizes = engine, sizes or Sizes()
        self.endpoint = engine.endpoint
        self.records = Records(engine.store, engine.account)
        self.stream = Stream(
            self.sizes.conversations,
            self._begin,
            self._end,
            engine.stop,
            blocked=self._consider,
            held=2 * self.sizes.conversations,
        )

    async def buy(self, key: str, body: Mapping[str, Any], sample: int) -> Bought:
        """Wait for the answer to `body` in one of the next batches. Raises EndpointStopped."""
        if self.engine.stopped:
            raise self.engine.stopped
        waiting = self.awaited[key] = Waiting(body, sample, asyncio.get_running_loop().create_future())
        self._gather(key)
        return await waiting.answer

    async def _begin(self) -> None:
        await self.engine.begin()
        self.records.close_answered()
        self.awaited: dict[str, Waiting] = {}
        self.gathered: dict[str, None] = {}
        self.moves, self.collecting = 0, 0
        self.tries: Counter[str] = Counter()
        self.following: dict[str, asyncio.Task] = {}
        self.asked_for: dict[str, dict[str, None]] = {}  # in a batch by name, by this process
        self.settling: asyncio.Task | None = None
        self.server = Server(self.engine, self.records, self.sizes.first_look_s, self.sizes.longest_look_s)
        self.room = asyncio.Semaphore(self.sizes.at_once)
        self.ending = asyncio.create_task(self._fail_when_stopped())

    async def _end(self) -> None:
        tasks = [task for task in (self.ending, self.settling, *self.following.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.engine.stopped and (running := self.records.running()):
            names = ", ".join(record.id for record in running[:5]) + (", ..." if len(running) > 5 else "")
            click.echo(
                f"  {len(running)} of our batches left running at {self.endpoint.host} ({names}); "
                "the next run goes on with them",
                err=True,
            )
        await self.engine.end()

    async def _fail_when_stopped(self) -> None:
        await self.engine.ending.wait()
        self._fail(self.engine.stopped)

    def _fail(self, fault: BaseException) -> None:
        self.gathered.clear()
        for waiting in self.awaited.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(fault)

    def _start(self, doing: Awaitable) -> asyncio.Task:
        def ended(task: asyncio.Task) -> None:
            if not task.cancelled() and (fault := task.exception()) is not None:
                self._fail(fault)

        task = asyncio.ensure_future(doing)
        task.add_done_callback(ended)
        return task

    def _gather(self, key: str) -> None:
        self.gathered[key] = None
        self.moves += 1
        self._consider()

    def _consider(self) -> None:
        if self.settling is None or self.settling.done():
            self.settling = self._start(self._settle())

    async def _settle(self) -> None:
        """Send what was gathered if nothing moves any more; who moves later considers it again."""
        calm, seen = 0, self.moves
        while calm < CALM_TURNS:
            await asyncio.sleep(0)
            calm, seen = (calm + 1 if self.moves == seen else 0), self.moves
        if not self.gathered or not self.stream.blocked_maps or self.collecting or self.engine.stopped:
            return
        gathered, self.gathered = self.gathered, {}
        requests = {key: request for key in gathered if (request := self._request(key)) is not None}
        for name, keys in self.records.claim(requests, self.sizes.requests, self.sizes.bytes).items():
            self.asked_for.setdefault(name, {}).update(dict.fromkeys(keys))
            if name not in self.following:
                self.following[name] = self._start(self._follow(self.records.read(name)))

    def _request(self, key: str) -> Request | None:
        waiting = self.awaited[key]
        body = waiting.body
        text = json.dumps(body, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError as fault:
            self._answer(Bought(key, why=f"text that is no UTF-8: {fault.reason}"))
            return None
        return Request(text, body["model"], waiting.sample, self._expected_usd(body))

    def _expected_usd(self, body: Mapping[str, Any]) -> float:
        an_answer = self.engine.expected[1]
        output = min(an_answer, body.get("max_completion_tokens") or an_answer) * (body.get("n") or 1)
        return self.engine.usd(self.engine.expected_input(body), output)

    async def _follow(self, record: Record) -> None:
        """Make a batch or find it again, wait for its end, and take over what it says."""
        try:
            async with self.room:
                batch = await self.server.ended(record, await self.server.made(record))
            if batch is None:
                self._give_back(record, {}, "lost", "the server knows its batch no more")
            elif batch.status == "failed":
                await self._refused(record, batch)
            else:
                self.collecting += 1
                try:
                    await self._collect(record, batch)
                finally:
                    self.collecting -= 1
        finally:
            del self.following[record.name]
        self._consider()

    async def _refused(self, record: Record, batch) -> None:
        """The batch as a whole did not pass the server's checks."""
        faults = getattr(batch.errors, "data", None) or []
        others = [task for name, task in self.following.items() if name != record.name]
        if others and any(fault.code == NO_ROOM for fault in faults):
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            self._give_back(record, {}, batch.status, "", try_counts=False)
            return
        self.records.close(record.name, batch.status)
        words = [f"line {fault.line}: {fault.message}" if fault.line else str(fault.message) for fault in faults[:5]]
        told = self.endpoint.redacted("; ".join(words)) or "it does not say why"
        raise self.engine.stopping(f"{self.endpoint.host} refused {batch.id} with {record.requests} requests: {told}")

    async def _collect(self, record: Record, batch) -> None:
        """Store and hand out the answers, then ask again for what has none."""
        results = Results(self.server, record, batch, self.tries, self._answer)
        await results.take_over()
        unanswered = results.left - results.failed.keys()
        self._give_back(record, results.failed, batch.status, f"no answer in a batch that is {batch.status}")
        if stop := next((reply for reply in results.failed.values() if reply.kind == "stopped"), None):
            raise self.engine.stopping(f"{self.endpoint.host} did not answer all of {batch.id}: {stop.why}")
        if batch.status == "cancelled" and unanswered:
            raise self.engine.stopping(f"{batch.id} was cancelled; what it answered is kept, run again to go on")

    def _give_back(
        self, record: Record, failed: Mapping[str, Reply], status: str, missing: str, try_counts: bool = True
    ) -> None:
        """Close a batch; what it left without an answer is asked again, or fails with its words."""
        self.records.close(record.name, status)
        waiting = [key for key in self.asked_for.pop(record.name, {}) if key in self.awaited]
        for key, stored in zip(waiting, self.engine.store.get_many(waiting), strict=True):
            if stored is not None:  # by another process that waited for this batch too
                self._answer(Bought(key, stored))
                continue
            reply = failed.get(key) or Reply("transient", why=missing)
            self.engine.counts.rejected += reply.kind == "rejected"
            self.engine.counts.transient += reply.kind == "transient"
            self.engine.counts.limited += reply.kind == "limited"
            self.tries[key] += try_counts
            if reply.kind == "rejected":
                self._answer(Bought(key, why=reply.why))
            elif self.tries[key] >= (self.engine.params.attempts or ATTEMPTS):
                self._answer(Bought(key, why=f"{reply.why} ({self.tries[key]} batches)"))
            else:
                self._gather(key)

    def _answer(self, bought: Bought) -> None:
        waiting = self.awaited.pop(bought.key, None)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(bought)
            self.moves += 1
