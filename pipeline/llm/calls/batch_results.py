"""Takes over what the files of an ended batch say: into the store first, then to who waits for it."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click

from pipeline.llm.calls.answers import StoredAnswer
from pipeline.llm.calls.batch_lines import group_lines, parse_line, read_reply, split_lines
from pipeline.llm.calls.batch_records import Record
from pipeline.llm.calls.batch_server import Server, ServerBatch
from pipeline.llm.calls.endpoint import Reply
from pipeline.llm.calls.ledger import Ledger


class Results:
    """The output and the error file of one batch.

    `left` are the keys that they have not answered, `failed` is what they say of some of these. `tries` tells how often
    a key was in a batch before; each answer is handed to `hand_out`.
    """

    def __init__(
        self,
        ledger: Ledger,
        server: Server,
        record: Record,
        batch: ServerBatch,
        tries: Mapping[str, int],
        hand_out: Callable[[StoredAnswer], None],
    ):
        self.ledger, self.server, self.batch, self.tries, self.hand_out = ledger, server, batch, tries, hand_out
        self.ours = frozenset(server.records.read_keys(record.name))
        self.left = set(self.ours)
        self.failed: dict[str, Reply] = {}
        self.took_s = max((getattr(batch, f"{batch.status}_at", None) or batch.created_at) - batch.created_at, 0)

    async def take_over(self) -> None:
        """Read both files, and say what was odd about their lines. Raises EndpointStopped."""
        odd: Counter[str] = Counter()
        for file_id in (self.batch.output_file_id, self.batch.error_file_id):
            if file_id and self.ours:  # else another process has taken it over
                odd_lines = await self.server.call_or_none(partial(self._read, file_id))
                odd += Counter({"a whole file": 1}) if odd_lines is None else odd_lines
        if odd:
            reasons = ", ".join(f"{count} {reason}" for reason, count in odd.items())
            click.echo(f"  {self.batch.id}: lines passed over: {reasons}", err=True)

    async def _read(self, file_id: str) -> Counter[str]:
        """Take over the lines of a file; return how many were odd. It may be called again where it broke off."""
        odd: Counter[str] = Counter()
        keys: set[str] = set()
        async with self.server.endpoint.client.files.with_streaming_response.content(file_id) as response:
            async for lines in group_lines(split_lines(response.iter_bytes())):
                rows: dict[str, Mapping[str, Any]] = {}
                for text in lines:
                    row = parse_line(text)
                    if row is None:
                        odd["cut"] += 1
                        continue
                    key = row.get("custom_id")
                    if not isinstance(key, str) or key not in self.ours:
                        odd["not asked for"] += 1
                    elif key in keys:
                        odd["twice"] += 1
                    else:
                        keys.add(key)
                        if key in self.left and key not in self.failed:  # else from a reading that broke off
                            rows[key] = row
                await self._take(rows)
        return odd

    async def _take(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the answers among some lines in one transaction and hand them out."""
        ledger, kept = self.ledger, []
        stored_before = dict(zip(rows, ledger.store.get_many(list(rows)), strict=True))
        for key, text, sample in self.server.records.read_requests(list(rows)):
            body = json.loads(text)
            if stored_before[key] is not None:  # by a run that was killed here, or asked directly meanwhile
                self.left.remove(key)
                self.hand_out(StoredAnswer(key, stored_before[key]))
                continue
            reply = read_reply(ledger.endpoint, rows[key], body.get("n") or 1)
            tokens = ledger.count_tokens(reply)
            if reply.kind == "answer":
                kept.append((key, ledger.keep_answer(key, body, sample, reply, self.took_s, self.tries[key])))
                continue
            self.failed[key] = reply
            if tokens:
                ledger.charge_unusable(tokens)
        for (key, _), stored in zip(kept, await asyncio.gather(*(keeping for _, keeping in kept)), strict=True):
            self.left.remove(key)
            self.hand_out(StoredAnswer(key, stored))
