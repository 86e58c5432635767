"""Buys answers by the Batch API, at half the price and within a day: same questions, same store, same checks.

Conversations await their answers as they do in direct mode. When all of them wait and no more can be read, what they
wait for becomes one batch. A batch outlives the process: the next run finds it in the store or, where the run was
killed while it was made, in the server's list.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import click

from pipeline.llm.calls.answers import StoredAnswer
from pipeline.llm.calls.batch_records import Record, Records, Request
from pipeline.llm.calls.batch_results import Results
from pipeline.llm.calls.batch_server import Server, ServerBatch
from pipeline.llm.calls.endpoint import ATTEMPTS, EndpointStopped, Reply
from pipeline.llm.calls.ledger import Ledger
from pipeline.llm.calls.stream import Stream

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
    answer: asyncio.Future[StoredAnswer]


class Batches:
    """Requests in batches, in the place of single ones."""

    def __init__(self, ledger: Ledger, sizes: Sizes | None = None):
        self.ledger, self.sizes = ledger, sizes or Sizes()
        self.endpoint = ledger.endpoint
        self.records = Records(ledger.store, ledger.account)
        self.stream = Stream(
            self.sizes.conversations,
            self._begin,
            self._end,
            ledger.interrupt,
            blocked=self._note_blocked,
            most_held=2 * self.sizes.conversations,
        )

    async def buy(self, key: str, body: Mapping[str, Any], sample: int) -> StoredAnswer:
        """Wait for the answer to `body` in one of the next batches. Raises EndpointStopped."""
        if self.ledger.stopped:
            raise self.ledger.stopped
        waiting = self.waiting[key] = Waiting(body, sample, asyncio.get_running_loop().create_future())
        self._gather(key)
        return await waiting.answer

    async def _begin(self) -> None:
        await self.ledger.begin()
        self.records.close_answered()
        self.waiting: dict[str, Waiting] = {}
        self.gathered: dict[str, None] = {}
        self.moves, self.collecting = 0, 0
        self.tries: Counter[str] = Counter()
        self.following: dict[str, asyncio.Task[None]] = {}
        self.ours: dict[str, dict[str, None]] = {}  # the keys of this process in a batch by name
        self.settling: asyncio.Task[None] | None = None
        self.server = Server(self.ledger, self.records, self.sizes.first_look_s, self.sizes.longest_look_s)
        self.room = asyncio.Semaphore(self.sizes.at_once)
        self.ending = asyncio.create_task(self._fail_when_stopped())

    async def _end(self) -> None:
        tasks = [task for task in (self.ending, self.settling, *self.following.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.ledger.stopped and (running := self.records.read_running()):
            names = ", ".join(str(record.id) for record in running[:5]) + (", ..." if len(running) > 5 else "")
            click.echo(
                f"  {len(running)} of our batches left running at {self.endpoint.host} ({names}); "
                "the next run goes on with them",
                err=True,
            )
        await self.ledger.end()

    async def _fail_when_stopped(self) -> None:
        await self.ledger.ending.wait()
        self._fail(self.ledger.stopped or EndpointStopped("stopped"))

    def _fail(self, fault: BaseException) -> None:
        self.gathered.clear()
        for waiting in self.waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(fault)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        def pass_on_fault(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (fault := task.exception()) is not None:
                self._fail(fault)

        task = asyncio.ensure_future(work)
        task.add_done_callback(pass_on_fault)
        return task

    def _gather(self, key: str) -> None:
        self.gathered[key] = None
        self.moves += 1
        self._consider()

    def _note_blocked(self) -> None:
        """A map has read all it may: what it read last only now begins to ask, so the calm is counted anew."""
        self.moves += 1
        self._consider()

    def _consider(self) -> None:
        if self.settling is None or self.settling.done():
            self.settling = self._start(self._settle())

    async def _settle(self) -> None:
        """Send what was gathered if nothing moves any more; who moves later considers it again."""
        calm_turns, moves = 0, self.moves
        while calm_turns < CALM_TURNS:
            await asyncio.sleep(0)
            calm_turns, moves = (calm_turns + 1 if self.moves == moves else 0), self.moves
        if not self.gathered or not self.stream.blocked_maps or self.collecting or self.ledger.stopped:
            return
        gathered, self.gathered = self.gathered, {}
        requests = {key: request for key in gathered if (request := self._request(key)) is not None}
        for name, keys in self.records.claim(requests, self.sizes.requests, self.sizes.bytes).items():
            self.ours.setdefault(name, {}).update(dict.fromkeys(keys))
            if name not in self.following:
                self.following[name] = self._start(self._follow(self.records.read(name)))

    def _request(self, key: str) -> Request | None:
        waiting = self.waiting[key]
        body = waiting.body
        text = json.dumps(body, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError as fault:
            self._hand_out(StoredAnswer(key, why=f"text that is no UTF-8: {fault.reason}"))
            return None
        return Request(text, body["model"], waiting.sample, self._expected_usd(body))

    def _expected_usd(self, body: Mapping[str, Any]) -> float:
        expected = self.ledger.expected
        per_choice = min(expected.per_choice, body.get("max_completion_tokens") or expected.per_choice)
        return self.ledger.cost_usd(expected.estimate_input(body), per_choice * (body.get("n") or 1))

    async def _follow(self, record: Record) -> None:
        """Make a batch or find it again, wait for its end, and take over what it says."""
        try:
            async with self.room:
                batch = await self.server.wait_for_end(record, await self.server.make_or_find(record))
            if batch is None:
                self._give_back(record, {}, "lost", "the server knows its batch no more")
            elif batch.status == "failed":
                await self._take_refusal(record, batch)
            else:
                self.collecting += 1
                try:
                    await self._collect(record, batch)
                finally:
                    self.collecting -= 1
        finally:
            del self.following[record.name]
        self._consider()

    async def _take_refusal(self, record: Record, batch: ServerBatch) -> None:
        """Ask again for a batch that as a whole did not pass the server's checks, where it only lacked room."""
        faults = getattr(batch.errors, "data", None) or []
        others = [task for name, task in self.following.items() if name != record.name]
        if others and any(fault.code == NO_ROOM for fault in faults):
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            self._give_back(record, {}, batch.status, "", try_counts=False)
            return
        self.records.close(record.name, batch.status)
        words = [f"line {fault.line}: {fault.message}" if fault.line else str(fault.message) for fault in faults[:5]]
        why = self.endpoint.redact("; ".join(words)) or "it does not say why"
        raise self.ledger.stop_run(f"{self.endpoint.host} refused {batch.id} with {record.requests} requests: {why}")

    async def _collect(self, record: Record, batch: ServerBatch) -> None:
        """Store and hand out the answers, then ask again for what has none."""
        results = Results(self.ledger, self.server, record, batch, self.tries, self._hand_out)
        await results.take_over()
        unanswered = results.left - results.failed.keys()
        self._give_back(record, results.failed, batch.status, f"no answer in a batch that is {batch.status}")
        if stop := next((reply for reply in results.failed.values() if reply.kind == "stopped"), None):
            raise self.ledger.stop_run(f"{self.endpoint.host} did not answer all of {batch.id}: {stop.why}")
        if batch.status == "cancelled" and unanswered:
            raise self.ledger.stop_run(f"{batch.id} was cancelled; what it answered is kept, run again to go on")

    def _give_back(
        self, record: Record, failed: Mapping[str, Reply], status: str, missing: str, try_counts: bool = True
    ) -> None:
        """Close a batch; what it left without an answer is asked again, or fails with its words."""
        counts = self.ledger.counts
        self.records.close(record.name, status)
        keys = [key for key in self.ours.pop(record.name, {}) if key in self.waiting]
        for key, stored in zip(keys, self.ledger.store.get_many(keys), strict=True):
            if stored is not None:  # by another process that waited for this batch too
                self._hand_out(StoredAnswer(key, stored))
                continue
            reply = failed.get(key) or Reply("transient", why=missing)
            counts.rejected += reply.kind == "rejected"
            counts.transient += reply.kind == "transient"
            counts.limited += reply.kind == "limited"
            self.tries[key] += try_counts
            if reply.kind == "rejected":
                self._hand_out(StoredAnswer(key, why=reply.why))
            elif self.tries[key] >= (self.ledger.params.attempts or ATTEMPTS):
                self._hand_out(StoredAnswer(key, why=f"{reply.why} ({self.tries[key]} batches)"))
            else:
                self._gather(key)

    def _hand_out(self, answer: StoredAnswer) -> None:
        waiting = self.waiting.pop(answer.key, None)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(answer)
            self.moves += 1
