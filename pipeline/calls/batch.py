"""Buys answers by the Batch API, at half the price and within a day: same questions, same store, same checks.

Conversations await their answers as they do in direct mode. When all of them wait and no more can be read, what they
wait for becomes one batch. A batch outlives the process: the next run finds it in the store or, where the run was
killed while it was made, in the server's list.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import click

from pipeline.calls.batch_lines import in_heaps, line, parsed, reply_of, whole_lines
from pipeline.calls.batch_records import Record, Records, Request
from pipeline.calls.endpoint import Reply
from pipeline.calls.engine import ATTEMPTS, BACK_OFF_S, LONGEST_BACK_OFF_S, PATIENCE_S, Bought, Engine
from pipeline.calls.stream import Stream

R = TypeVar("R")

NAMED = "vpo"
"""the batch's metadata that holds its name, by which it is found again"""
ENDED = ("completed", "expired", "cancelled", "failed")
WINDOW, WINDOW_S = "24h", 25 * 3600.0
"""the only window there is; an hour more for the server to end it"""
CALM_TURNS = 12
"""turns of the event loop without a new question; a conversation goes from an answer to its next question in fewer"""
LISTED = 20
"""pages of 100 batches, newest first, among which a batch of a killed run is looked for"""
SAID_EVERY_S, LOCKED_S = 60.0, 0.2
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

    def __init__(self, engine: Engine, sizes: Sizes | None = None):
        self.engine, self.sizes = engine, sizes or Sizes()
        self.endpoint = engine.endpoint
        self.records = Records(engine.store, engine.account)
        self.url = "/chat/completions" if engine.params.api_version else "/v1/chat/completions"  # Azure's is shorter
        self.stream = Stream(
            self.sizes.conversations,
            self._begin,
            self._end,
            engine._stop,
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
        await self.engine._begin()
        self.records.close_answered()
        self.awaited: dict[str, Waiting] = {}
        self.gathered: dict[str, None] = {}
        self.moves, self.collecting = 0, 0
        self.tries: Counter[str] = Counter()
        self.told: dict[str, tuple[str, float]] = {}
        self.following: dict[str, asyncio.Task] = {}
        self.asked_for: dict[str, dict[str, None]] = {}  # in a batch by name, by this process
        self.settling: asyncio.Task | None = None
        self.room, self.one_by_one = asyncio.Semaphore(self.sizes.at_once), asyncio.Lock()
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
        await self.engine._end()

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

    async def _follow(self, record: Record) -> None:
        """Make a batch or find it again, wait for its end, and take over what it says."""
        try:
            async with self.room:
                batch = await self._made(record)
                batch = await self._ended(record, batch)
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

    async def _made(self, record: Record):
        """Return the server's batch, made now unless it was before; None where the server lost it."""
        async with self._alone():  # a budget is kept by looking at the batches made before
            made = self.records.read(record.name).id  # by another process, maybe
            if made:
                return await self._look(record, made)
            batch = await self._call(lambda: self._find(record.name))
            if batch is None:
                self._keep_to_budget(record)
                file_id = await self._upload(record)
                batch = await self._call(lambda: self._find_or_make(record, file_id))
                self.engine.counts.requests += record.requests
            self.records.made(record.name, batch.id)
        return batch

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Be the only one, of all processes with this store, that makes a batch."""
        import fcntl

        async with self.one_by_one:
            with (self.engine.store.root / "batches.lock").open("w") as file:
                while True:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        await self.engine._sleep(LOCKED_S)
                yield

    async def _find(self, name: str):
        page = await self.endpoint.client.batches.list(limit=100)
        for _ in range(LISTED):
            for batch in page.data:
                if (batch.metadata or {}).get(NAMED) == name:
                    return batch
            if not page.has_next_page():
                break
            page = await page.get_next_page()
        return None

    async def _find_or_make(self, record: Record, file_id: str):
        """Make the batch, unless a try whose answer was lost on the way has made it."""
        return await self._find(record.name) or await self.endpoint.client.batches.create(
            input_file_id=file_id, endpoint=self.url, completion_window=WINDOW, metadata={NAMED: record.name}
        )

    async def _upload(self, record: Record) -> str:
        files = self.endpoint.client.files
        with tempfile.TemporaryFile() as content:
            for key, body, _ in self.records.requests(self.records.keys(record.name)):
                content.write(line(key, self.url, body))

            async def upload():
                content.seek(0)
                return await files.create(file=(f"{record.name}.jsonl", content), purpose="batch")

            file = await self._call(upload)
        while file.status in ("pending", "running"):  # Azure looks through it first
            await self.engine._sleep(self.sizes.first_look_s)
            file = await self._call(partial(files.retrieve, file.id))
        return file.id

    async def _ended(self, record: Record, batch):
        """Return the batch at its end, None where the server lost it."""
        pause, since = self.sizes.first_look_s, time.monotonic()
        while batch is not None and batch.status not in ENDED:
            self._say(batch)
            if time.monotonic() - since > WINDOW_S:
                raise self.engine._stopped(f"{batch.id} has not ended within its window of {WINDOW}: {batch.status}")
            await self.engine._sleep(pause)
            pause = min(1.5 * pause, self.sizes.longest_look_s)
            batch = await self._look(record, batch.id)
        if batch is not None:
            self._say(batch)
        return batch

    async def _look(self, record: Record, batch_id: str):
        batch = await self._call(lambda: self.endpoint.client.batches.retrieve(batch_id), absent=True)
        if batch is None and not self.records.is_old(record.name):
            raise self.engine._stopped(
                f"{self.endpoint.host} does not know {batch_id}, which was made there within two days: is the key of "
                "another organization? `mode: direct` asks without it"
            )
        return batch

    async def _call(self, ask: Callable[[], Awaitable[R]], absent: bool = False) -> R:
        """Ask until the server answers, for so long as we have patience; with `absent` a 404 is None."""
        import httpx2

        openai, since, pause = self.endpoint.openai, time.monotonic(), BACK_OFF_S
        while True:
            try:
                return await ask()
            except openai.APIStatusError as fault:
                if absent and fault.status_code == 404:
                    return None
                reply = self.endpoint.failed(fault.status_code, fault.body, fault.response.headers)
            except (openai.APIError, httpx2.RequestError) as fault:  # the latter in the middle of a file
                reply = Reply(
                    "transient", why=self.endpoint.redacted(f"{type(fault).__name__}: {fault.__cause__ or fault}")
                )
            waited = time.monotonic() - since
            if reply.kind not in ("transient", "limited") or waited > PATIENCE_S:
                raise self.engine._stopped(f"the Batch API of {self.endpoint.host}: {reply.why}")
            await self.engine._sleep(min(reply.retry_after or pause, PATIENCE_S))
            pause = min(2 * pause, LONGEST_BACK_OFF_S)

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
        raise self.engine._stopped(f"{self.endpoint.host} refused {batch.id} with {record.requests} requests: {told}")

    async def _collect(self, record: Record, batch) -> None:
        """Store and hand out the answers, then ask again for what has none."""
        ours = frozenset(self.records.keys(record.name))
        left = set(ours)
        failed: dict[str, Reply] = {}
        odd: Counter[str] = Counter()
        missing = f"no answer in a batch that is {batch.status}"
        took = max((getattr(batch, f"{batch.status}_at", None) or batch.created_at) - batch.created_at, 0)
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id and ours:  # else another process has taken it over
                reading = partial(self._read, file_id, ours, left, failed, took)
                passed_over = await self._call(reading, absent=True)
                odd += Counter({"a whole file": 1}) if passed_over is None else passed_over
        if odd:
            told = ", ".join(f"{count} {what}" for what, count in odd.items())
            click.echo(f"  {batch.id}: lines passed over: {told}", err=True)
        unanswered = left - failed.keys()
        self._give_back(record, failed, batch.status, missing)
        if stop := next((reply for reply in failed.values() if reply.kind == "stopped"), None):
            raise self.engine._stopped(f"{self.endpoint.host} did not answer all of {batch.id}: {stop.why}")
        if batch.status == "cancelled" and unanswered:
            raise self.engine._stopped(f"{batch.id} was cancelled; what it answered is kept, run again to go on")

    async def _read(
        self, file_id: str, ours: frozenset[str], left: set[str], failed: dict[str, Reply], took: float
    ) -> Counter[str]:
        """Take over the lines of a file: answered keys leave `left`, others go into `failed`; return the odd lines."""
        odd: Counter[str] = Counter()
        seen: set[str] = set()
        async with self.endpoint.client.files.with_streaming_response.content(file_id) as response:
            async for lines in in_heaps(whole_lines(response.iter_bytes())):
                told: dict[str, dict] = {}
                for text in lines:
                    row = parsed(text)
                    key = row.get("custom_id") if row else None
                    if row is None:
                        odd["cut"] += 1
                    elif not isinstance(key, str) or key not in ours:
                        odd["not asked for"] += 1
                    elif key in seen:
                        odd["twice"] += 1
                    else:
                        seen.add(key)
                        if key in left and key not in failed:  # else from a reading that broke off
                            told[key] = row
                await self._take(told, left, failed, took)
        return odd

    async def _take(self, told: Mapping[str, dict], left: set[str], failed: dict[str, Reply], took: float) -> None:
        """Keep the answers among some lines in one transaction and hand them out."""
        engine, kept = self.engine, []
        known = dict(zip(told, engine.store.get_many(list(told)), strict=True))
        for key, text, sample in self.records.requests(list(told)):
            body = json.loads(text)
            if known[key] is not None:  # stored by a run that was killed here, or asked directly meanwhile
                left.remove(key)
                self._answer(Bought(key, known[key]))
                continue
            reply = reply_of(self.endpoint, told[key], body.get("n") or 1)
            tokens = engine._count(reply)
            if reply.kind == "answer":
                kept.append((key, engine._keep(key, body, sample, reply, took, self.tries[key])))
                continue
            failed[key] = reply
            if tokens:
                engine.spent_usd = engine.store.charge(engine.account, 1, *tokens, engine.usd(*tokens))
        for (key, _), stored in zip(kept, await asyncio.gather(*(keeping for _, keeping in kept)), strict=True):
            left.remove(key)
            self._answer(Bought(key, stored))

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

    def _expected_usd(self, body: Mapping[str, Any]) -> float:
        an_answer = self.engine.expected[1]
        output = min(an_answer, body.get("max_completion_tokens") or an_answer) * (body.get("n") or 1)
        return self.engine.usd(self.engine._expected_input(body), output)

    def _keep_to_budget(self, record: Record) -> None:
        budget = self.engine.params.budget_usd
        if budget is None:
            return
        spent = self.engine.spent_usd = self.engine.store.spent(self.engine.account)
        running = sum(other.usd for other in self.records.running())
        if record.usd > budget - spent - running:
            raise self.engine._stopped(
                f"a batch of {record.requests} requests for {self.engine.params.model} is expected to cost "
                f"{record.usd:.4f} US dollars, but of {budget:g} are spent {spent:.4f} and in running batches "
                f"{running:.4f}; nothing was sent, raise budget_usd to go on"
            )

    def _say(self, batch) -> None:
        """Tell where a batch is: when its status changes, and how far it is once a minute."""
        counts, now = batch.request_counts, time.monotonic()
        told, at = self.told.get(batch.id, ("", 0.0))
        if told != batch.status or (batch.status == "in_progress" and now - at > SAID_EVERY_S):
            self.told[batch.id] = batch.status, now
            far = f" {counts.completed + counts.failed} of {counts.total}" if counts and counts.total else ""
            click.echo(f"  {self.engine.params.model}: {batch.id} {batch.status}{far}", err=True)
