"""One batch at the server: made once, found again after a kill, and watched until it has ended."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import click

from pipeline.llm.calls.batch_lines import line
from pipeline.llm.calls.batch_records import Record, Records
from pipeline.llm.calls.endpoint import BACK_OFF_S, LONGEST_BACK_OFF_S, PATIENCE_S, Reply

if TYPE_CHECKING:
    from pipeline.llm.calls.engine import Engine

R = TypeVar("R")

NAMED = "vpo"
"""the batch's metadata that holds its name, by which it is found again"""
ENDED = ("completed", "expired", "cancelled", "failed")
WINDOW, WINDOW_S = "24h", 25 * 3600.0
"""the only window there is; an hour more for the server to end it"""
LISTED = 20
"""pages of 100 batches, newest first, among which a batch of a killed run is looked for"""
SAID_EVERY_S, LOCKED_S = 60.0, 0.2


class Server:
    """The Batch API of the engine's endpoint, for one event loop. Where it cannot be used EndpointStopped is raised."""

    def __init__(self, engine: "Engine", records: Records, first_look_s: float, longest_look_s: float):
        self.engine, self.endpoint, self.records = engine, engine.endpoint, records
        self.first_look_s, self.longest_look_s = first_look_s, longest_look_s
        self.url = "/chat/completions" if engine.params.api_version else "/v1/chat/completions"  # Azure's is shorter
        self.one_by_one = asyncio.Lock()
        self.told: dict[str, tuple[str, float]] = {}

    async def made(self, record: Record):
        """Return the server's batch, made now unless it was before; None where the server lost it."""
        async with self._alone():  # a budget is kept by looking at the batches made before
            made = self.records.read(record.name).id  # by another process, maybe
            if made:
                return await self._look(record, made)
            batch = await self.call(lambda: self._find(record.name))
            if batch is None:
                self._keep_to_budget(record)
                file_id = await self._upload(record)
                batch = await self.call(lambda: self._find_or_make(record, file_id))
                self.engine.counts.requests += record.requests
            self.records.made(record.name, batch.id)
        return batch

    async def ended(self, record: Record, batch):
        """Return the batch at its end, None where the server lost it."""
        pause, since = self.first_look_s, time.monotonic()
        while batch is not None and batch.status not in ENDED:
            self._say(batch)
            if time.monotonic() - since > WINDOW_S:
                raise self.engine.stopping(f"{batch.id} has not ended within its window of {WINDOW}: {batch.status}")
            await self.engine.sleep(pause)
            pause = min(1.5 * pause, self.longest_look_s)
            batch = await self._look(record, batch.id)
        if batch is not None:
            self._say(batch)
        return batch

    async def call(self, ask: Callable[[], Awaitable[R]], absent: bool = False) -> R:
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
                raise self.engine.stopping(f"the Batch API of {self.endpoint.host}: {reply.why}")
            await self.engine.sleep(min(reply.retry_after or pause, PATIENCE_S))
            pause = min(2 * pause, LONGEST_BACK_OFF_S)

    @asynccontextmanager
    async def _alone(self):
        """Be the only one, of all processes with this store, that makes a batch."""
        import fcntl

        async with self.one_by_one:
            with (self.engine.store.root / "batches.lock").open("w") as file:
                while True:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        await self.engine.sleep(LOCKED_S)
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

    def _keep_to_budget(self, record: Record) -> None:
        budget = self.engine.params.budget_usd
        if budget is None:
            return
        spent = self.engine.spent_usd = self.engine.store.spent(self.engine.account)
        running = sum(other.usd for other in self.records.running())
        if record.usd > budget - spent - running:
            raise self.engine.stopping(
                f"a batch of {record.requests} requests for {self.engine.params.model} is expected to cost "
                f"{record.usd:.4f} US dollars, but of {budget:g} are spent {spent:.4f} and in running batches "
                f"{running:.4f}; nothing was sent, raise budget_usd to go on"
            )

    async def _upload(self, record: Record) -> str:
        files = self.endpoint.client.files
        with tempfile.TemporaryFile() as content:
            for key, body, _ in self.records.requests(self.records.keys(record.name)):
                content.write(line(key, self.url, body))

            async def upload():
                content.seek(0)
                return await files.create(file=(f"{record.name}.jsonl", content), purpose="batch")

            file = await self.call(upload)
        while file.status in ("pending", "running"):  # Azure looks through it first
            await self.engine.sleep(self.first_look_s)
            file = await self.call(partial(files.retrieve, file.id))
        return file.id

    async def _find_or_make(self, record: Record, file_id: str):
        """Make the batch, unless a try whose answer was lost on the way has made it."""
        return await self._find(record.name) or await self.endpoint.client.batches.create(
            input_file_id=file_id, endpoint=self.url, completion_window=WINDOW, metadata={NAMED: record.name}
        )

    async def _look(self, record: Record, batch_id: str):
        batch = await self.call(lambda: self.endpoint.client.batches.retrieve(batch_id), absent=True)
        if batch is None and not self.records.is_old(record.name):
            raise self.engine.stopping(
                f"{self.endpoint.host} does not know {batch_id}, which was made there within two days: is the key of "
                "another organization? `mode: direct` asks without it"
            )
        return batch

    def _say(self, batch) -> None:
        """Tell where a batch is: when its status changes, and how far it is once a minute."""
        counts, now = batch.request_counts, time.monotonic()
        told, at = self.told.get(batch.id, ("", 0.0))
        if told != batch.status or (batch.status == "in_progress" and now - at > SAID_EVERY_S):
            self.told[batch.id] = batch.status, now
            far = f" {counts.completed + counts.failed} of {counts.total}" if counts and counts.total else ""
            click.echo(f"  {self.engine.params.model}: {batch.id} {batch.status}{far}", err=True)
