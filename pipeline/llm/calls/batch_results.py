"""Takes over what the files of an ended batch say: into the store first, then to who waits for it."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import click

from pipeline.llm.calls.answers import Bought
from pipeline.llm.calls.batch_lines import in_heaps, parsed, reply_of, whole_lines
from pipeline.llm.calls.batch_records import Record
from pipeline.llm.calls.batch_server import Server
from pipeline.llm.calls.endpoint import Reply


class Results:
    """The output and the error file of one batch.

    `left` are the keys that they have not answered, `failed` is what they say of some of these. `tries` tells how often
    a key was in a batch before; each answer is handed to `answer`.
    """

    def __init__(
        self, server: Server, record: Record, batch, tries: Mapping[str, int], answer: Callable[[Bought], None]
    ):
        self.server, self.batch, self.tries, self.answer = server, batch, tries, answer
        self.ours = frozenset(server.records.keys(record.name))
        self.left = set(self.ours)
        self.failed: dict[str, Reply] = {}
        self.took_s = max((getattr(batch, f"{batch.status}_at", None) or batch.created_at) - batch.created_at, 0)

    async def take_over(self) -> None:
        """Read both files, and say what was odd about their lines. Raises EndpointStopped."""
        odd: Counter[str] = Counter()
        for file_id in (self.batch.output_file_id, self.batch.error_file_id):
            if file_id and self.ours:  # else another process has taken it over
                passed_over = await self.server.call(partial(self._read, file_id), absent=True)
                odd += Counter({"a whole file": 1}) if passed_over is None else passed_over
        if odd:
            told = ", ".join(f"{count} {what}" for what, count in odd.items())
            click.echo(f"  {self.batch.id}: lines passed over: {told}", err=True)

    async def _read(self, file_id: str) -> Counter[str]:
        """Take over the lines of a file; return how many were odd. It may be called again where it broke off."""
        odd: Counter[str] = Counter()
        seen: set[str] = set()
        async with self.server.endpoint.client.files.with_streaming_response.content(file_id) as response:
            async for lines in in_heaps(whole_lines(response.iter_bytes())):
                told: dict[str, dict] = {}
                for text in lines:
                    row = parsed(text)
                    key = row.get("custom_id") if row else None
                    if row is None:
                        odd["cut"] += 1
                    elif not isinstance(key, str) or key not in self.ours:
                        odd["not asked for"] += 1
                    elif key in seen:
                        odd["twice"] += 1
                    else:
                        seen.add(key)
                        if key in self.left and key not in self.failed:  # else from a reading that broke off
                            told[key] = row
                await self._take(told)
        return odd

    async def _take(self, told: Mapping[str, dict]) -> None:
        """Keep the answers among some lines in one transaction and hand them out."""
        engine, kept = self.server.engine, []
        known = dict(zip(told, engine.store.get_many(list(told)), strict=True))
        for key, text, sample in self.server.records.requests(list(told)):
            body = json.loads(text)
            if known[key] is not None:  # stored by a run that was killed here, or asked directly meanwhile
                self.left.remove(key)
                self.answer(Bought(key, known[key]))
                continue
            reply = reply_of(engine.endpoint, told[key], body.get("n") or 1)
            tokens = engine.count(reply)
            if reply.kind == "answer":
                kept.append((key, engine.keep(key, body, sample, reply, self.took_s, self.tries[key])))
                continue
            self.failed[key] = reply
            if tokens:
                engine.spent_usd = engine.store.charge(engine.account, 1, *tokens, engine.usd(*tokens))
        for (key, _), stored in zip(kept, await asyncio.gather(*(keeping for _, keeping in kept)), strict=True):
            self.left.remove(key)
            self.answer(Bought(key, stored))
