"""One batch at the server: made once, found again after a kill, and watched until it has ended."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import click

from pipeline.llm.calls.batch_lines import format_line
from pipeline.llm.calls.batch_records import Record, Records
from pipeline.llm.calls.endpoint import BACK_OFF_S, LONGEST_BACK_OFF_S, PATIENCE_S, Reply
from pipeline.llm.calls.ledger import Ledger

R = TypeVar("R")
ServerBatch = Any
"""openai.types.Batch; nothing of the openai package is imported before it is needed"""

NAMED = "vpo"
"""the batch's metadata that holds its name, by which it is found again"""
ENDED = ("completed", "expired", "cancelled", "failed")
WINDOW, WINDOW_S = "24h", 25 * 3600.0
"""the only window there is; an hour more for the server to end it"""
LISTED = 20
"""pages of 100 batches, newest first, among which a batch of a killed run is looked for"""
SHOWN_EVERY_S, LOCKED_S = 60.0, 0.2


class Server:
    """The Batch API of the ledger's endpoint, for one event loop. Where it cannot be used EndpointStopped is raised."""

    def __init__(self, ledger: Ledger, records: Records, first_look_s: float, longest_look_s: float):
        self.ledger, self.endpoint, self.records = ledger, ledger.endpoint, records
        self.first_look_s, self.longest_look_s = first_look_s, longest_look_s
        self.url = "/chat/completions" if ledger.params.api_version else "/v1/chat/completions"  # Azure's is shorter
        self.one_by_one = asyncio.Lock()
        self.shown: dict[str, tuple[str, float]] = {}  # by batch: the status shown last, and when

    async def make_or_find(self, record: Record) -> ServerBatch | None:
        """Return the server's batch, made now unless it was before; None where the server lost it."""
        async with self._alone():  # a budget is kept by looking at the batches made before
            batch_id = self.records.read(record.name).id  # known when another process has made it meanwhile
            if batch_id:
                return await self._look(record, batch_id)
            batch = await self.call(lambda: self._find(record.name)) or await self._make(record)
            self.records.note_made(record.name, batch.id)
        return batch

    async def wait_for_end(self, record: Record, batch: ServerBatch | None) -> ServerBatch | None:
        """Return the batch at its end, None where the server lost it."""
        pause, since = self.first_look_s, time.monotonic()
        while batch is not None and batch.status not in ENDED:
            self._show(batch)
            if time.monotonic() - since > WINDOW_S:
                raise self.ledger.stop_run(f"{batch.id} has not ended within its window of {WINDOW}: {batch.status}")
            await self.ledger.sleep(pause)
            pause = min(1.5 * pause, self.longest_look_s)
            batch = await self._look(record, batch.id)
        if batch is not None:
            self._show(batch)
        return batch

    async def call(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Ask until the server answers, for so long as we have patience. Raises EndpointStopped."""
        import httpx2

        openai, since, pause = self.endpoint.openai, time.monotonic(), BACK_OFF_S
        while True:
            try:
                return await ask()
            except openai.APIStatusError as fault:
                reply = self.endpoint.read_failure(fault.status_code, fault.body, fault.response.headers)
            except (openai.APIError, httpx2.RequestError) as fault:  # the latter in the middle of a file
                reply = Reply(
                    "transient", why=self.endpoint.redact(f"{type(fault).__name__}: {fault.__cause__ or fault}")
                )
            waited = time.monotonic() - since
            if reply.kind not in ("transient", "limited") or waited > PATIENCE_S:
                raise self.ledger.stop_run(f"the Batch API of {self.endpoint.host}: {reply.why}")
            await self.ledger.sleep(min(reply.retry_after or pause, PATIENCE_S))
            pause = min(2 * pause, LONGEST_BACK_OFF_S)

    async def call_or_none(self, ask: Callable[[], Awaitable[R]]) -> R | None:
        """As `call`, but what the server does not have (404) is None."""

        async def ask_or_none() -> R | None:
            try:
                return await ask()
            except self.endpoint.openai.NotFoundError:
                return None

        return await self.call(ask_or_none)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Be the only one, of all processes with this store, that makes a batch."""
        import fcntl

        async with self.one_by_one:
            with (self.ledger.store.root / "batches.lock").open("w") as file:
                while True:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        await self.ledger.sleep(LOCKED_S)
                yield

    async def _find(self, name: str) -> ServerBatch | None:
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
        budget = self.ledger.params.budget_usd
        if budget is None:
            return
        spent = self.ledger.read_spent_usd()
        running = sum(other.usd for other in self.records.read_running())
        if record.usd > budget - spent - running:
            raise self.ledger.stop_run(
                f"a batch of {record.requests} requests for {self.ledger.params.model} is expected to cost "
                f"{record.usd:.4f} US dollars, but of {budget:g} are spent {spent:.4f} and in running batches "
                f"{running:.4f}; nothing was sent, raise budget_usd to go on"
            )

    async def _upload(self, record: Record) -> str:
        files = self.endpoint.client.files
        with tempfile.TemporaryFile() as content:
            for key, body, _ in self.records.read_requests(self.records.read_keys(record.name)):
                content.write(format_line(key, self.url, body))

            async def upload() -> Any:
                content.seek(0)
                return await files.create(file=(f"{record.name}.jsonl", content), purpose="batch")

            file = await self.call(upload)
        while file.status in ("pending", "running"):  # Azure looks through it first
            await self.ledger.sleep(self.first_look_s)
            file = await self.call(partial(files.retrieve, file.id))
        return file.id

    async def _delete_left_files(self, record: Record) -> None:
        """Delete the input files of a run that was killed before it made the batch of them."""
        client = self.endpoint.client

        async def find() -> list[str]:
            page = await client.files.list(purpose="batch")
            return [file.id for file in page.data if file.filename == f"{record.name}.jsonl"]

        for file_id in await self.call_or_none(find) or []:
            await self.call_or_none(partial(client.files.delete, file_id))

    async def _make(self, record: Record) -> ServerBatch:
        self._keep_to_budget(record)
        if lack := self.ledger.store.find_lack_of_room():
            raise self.ledger.stop_run(lack)
        await self._delete_left_files(record)
        file_id = await self._upload(record)
        batch = await self.call(lambda: self._find_or_make(record, file_id))
        self.ledger.counts.requests += record.requests
        return batch

    async def _find_or_make(self, record: Record, file_id: str) -> ServerBatch:
        """Make the batch, unless a try whose answer was lost on the way has made it."""
        return await self._find(record.name) or await self.endpoint.client.batches.create(
            input_file_id=file_id, endpoint=self.url, completion_window=WINDOW, metadata={NAMED: record.name}
        )

    async def _look(self, record: Record, batch_id: str) -> ServerBatch | None:
        batch = await self.call_or_none(lambda: self.endpoint.client.batches.retrieve(batch_id))
        if batch is None and not self.records.is_old(record.name):
            raise self.ledger.stop_run(
                f"{self.endpoint.host} does not know {batch_id}, which was made there within two days: is the key of "
                "another organization? `mode: direct` asks without it"
            )
        return batch

    def _show(self, batch: ServerBatch) -> None:
        """Tell where a batch is: when its status changes, and how far it is once a minute."""
        counts, now = batch.request_counts, time.monotonic()
        status, shown_at = self.shown.get(batch.id, ("", 0.0))
        if status != batch.status or (batch.status == "in_progress" and now - shown_at > SHOWN_EVERY_S):
            self.shown[batch.id] = batch.status, now
            far = f" {counts.completed + counts.failed} of {counts.total}" if counts and counts.total else ""
            click.echo(f"  {self.ledger.params.model}: {batch.id} {batch.status}{far}", err=True)
