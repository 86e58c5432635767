"""Hosted renderers: submit, look now and then, download. What is bought is written down before it is waited for.

A job's id goes into the pay-once store, with its price, in one transaction as soon as the host has told it; a run that
was killed, or lost its patience, looks at that job again and buys nothing twice.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator

from pipeline.backends.renderer.http_adapters import ADAPTERS
from pipeline.backends.renderer.http_host import Host, Reply
from pipeline.llm.calls.stream import Stream
from pipeline.llm.calls.turns import Turns
from pipeline.runtime.accounts import open_account
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Purchase, Store, store_key
from pipeline.video.clips import BadClip
from pipeline.video.ingest import Shape, ingest
from pipeline.video.rendering import video_id
from schemas.base import Provenance
from schemas.params_render import HttpRenderParams
from schemas.reasons import Reason
from schemas.seams import Clip, Outcome, RenderRequest

MAX_CONCURRENCY, POLL_S, TIMEOUT_S = 8, 5.0, 1800.0  # ours
ATTEMPTS = 5
"""ours: so often is a call sent, or an unknown job asked for"""
BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 30.0
PATIENCE_S = 900.0
"""ours: refused for its rate so long without one job, the run stops and says so"""
GONE_AFTER = 10
"""ours: so many failures in a row, or twice the jobs at once, mean that the host is gone or takes nothing of ours"""
AHEAD = 4
"""clips, a job at once, that wait for a slow one before them; each is some megabytes"""


class NoClip(Exception):
    """Ends the work on one request."""

    def __init__(self, reason: Reason, detail: str):
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Http:
    """Clips of a host, `max_concurrency` jobs at once."""

    token_limit: int | None = None

    def __init__(self, params: HttpRenderParams, store: Store | None = None):
        self.params, self.needs, self.adapter = params, params.needs, ADAPTERS[params.adapter]
        self.store: Store  # opened with the first job, where none is given
        self.given_store = store
        self.host = Host(params, self.adapter)
        shape = ("n_frames", "height", "width", "frames_per_second", "num_inference_steps", "guidance_scale")
        sent = {name: value for name in shape if (value := getattr(params, name)) is not None}
        if params.negative_prompt:
            sent["negative_prompt"] = params.negative_prompt
        if mute := sorted(sent.keys() - self.adapter.sends):
            raise DataError(
                f"adapter {params.adapter} cannot send render.{mute[0]}: set it to "
                + ('""' if mute[0] == "negative_prompt" else "null")
            )
        if ("height" in sent) != ("width" in sent):
            raise DataError("render.height and render.width are sent together: set both or none")
        self.sent, self.shape = sent, Shape.of(params)
        self.adapter.submit(params.model, "", 0, sent, "")  # what the host has no words for is known before the run
        self.by = Provenance(backend="http", model=params.model, revision=params.revision or "unknown")
        self.settings = {"host": self.host.name, "adapter": params.adapter, **sent}
        self.workers = params.max_concurrency or MAX_CONCURRENCY
        self.poll_s, self.timeout_s = params.poll_s or POLL_S, params.timeout_s or TIMEOUT_S
        self.usd = params.usd_per_clip or 0.0
        self.stream = Stream(
            self.workers,
            self._begin,
            self._end,
            lambda: self._make_stop("stopped"),
            most_held=AHEAD * self.workers,
        )

    def count_tokens(self, prompt: str) -> int:
        raise NotImplementedError("a host does not tell how it counts")

    def map(self, requests: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        """Yield an Outcome for each request, in order. Raises DataError when the host cannot be used."""
        return self.stream.map(requests, self._outcome)

    async def _begin(self) -> None:
        self.store = self.given_store = self.given_store or Store()
        self.ending, self.taking = asyncio.Event(), asyncio.Lock()
        self.buying: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.stopped: DataError | None = None
        self.failures = self.refusals = 0
        self.takes_jobs = False
        self.limited_since: float | None = None
        self.paused_until = 0.0
        self.account = open_account(self.store, self.host.name, self.params.model)
        self.spent, self.reserved = self.store.read_spent_usd(self.account), 0.0
        await self.host.open()
        self.turns = Turns(self.store, self._sleep)
        self.renewing = asyncio.create_task(self.turns.renew())

    async def _end(self) -> None:
        self.renewing.cancel()
        self.turns.close()
        await self.host.close()

    async def _outcome(self, request: RenderRequest) -> Outcome[Clip]:
        once = video_id(self, request)
        key = store_key("render_job", video_id=once, host=self.host.name, adapter=self.params.adapter)
        try:
            async with self.buying[key]:  # equal requests side by side are bought once
                bought = self.store.get(key)
                if bought is None and (others := await self.turns.wait(key)) is not None:
                    job_id = others["job_id"]
                else:
                    job_id = bought["job_id"] if bought else await self._buy_in_turn(key, once, request)
            content = await self._fetch(key, job_id, bought is not None)
            async with self.taking:  # one at a time: frames are large
                return Outcome(value=await asyncio.to_thread(ingest, content, self.shape), by=self.by)
        except NoClip as fault:
            return Outcome(by=self.by, reason=fault.reason, detail=fault.detail)
        except BadClip as fault:  # its job stays known: the host would make it so again, for money
            return Outcome(by=self.by, reason=Reason.BAD_CLIP, detail=f"job {job_id}: {fault}")

    async def _buy_in_turn(self, key: str, once: str, request: RenderRequest) -> str:
        if self.turns.is_inherited(key) and not self.adapter.repeatable:
            self.spent = self.store.charge(self.account, 1, 0, 0, self.usd)
        job_id = None
        try:
            job_id = await self._buy(key, once, request)
            return job_id
        finally:
            if job_id is None:
                self.turns.release(key)

    async def _buy(self, key: str, once: str, request: RenderRequest) -> str:
        """Submit a request and write down its job. Raises NoClip, or DataError when no job can be had any more."""
        if len(request.prompt) > (self.adapter.most_characters or len(request.prompt)):
            detail = f"{len(request.prompt)} characters, the host reads {self.adapter.most_characters}"
            raise NoClip(Reason.OVER_TOKEN_LIMIT, detail)
        call = self.adapter.submit(self.params.model, request.prompt, request.seed, self.sent, once)
        attempt, lost = 0, False
        while True:
            while (pause := self.paused_until - time.monotonic()) > 0:
                await self._sleep(pause)
            self._refuse_to_overspend()
            self.reserved += self.usd
            try:
                reply = await self.host.call(call)
                if reply.kind == "answer":
                    return self._written_down(key, request, reply)
            finally:
                self.reserved -= self.usd
            self._look_after(reply)
            if reply.kind == "rejected":
                if reply.filtered:
                    raise NoClip(Reason.CONTENT_FILTER, reply.why)
                self.refusals += 1
                if not self.takes_jobs and self.refusals >= max(GONE_AFTER, 2 * self.workers):
                    raise self._make_stop(f"{self.host.name} took none of {self.refusals} jobs, the last: {reply.why}")
                raise NoClip(Reason.REFUSED, reply.why)
            if reply.kind == "limited":
                self._pause(reply)
                continue
            if reply.lost and not self.adapter.repeatable:
                self.spent = self.store.charge(self.account, 1, 0, 0, self.usd)
                raise NoClip(Reason.RENDER_FAILED, f"{reply.why}; the host may have made it, so it counts as paid")
            attempt, lost = attempt + 1, lost or reply.lost
            if attempt == ATTEMPTS:
                if lost:  # a later run asks for the same job, and pays again if it was made
                    self.spent = self.store.charge(self.account, 1, 0, 0, self.usd)
                raise NoClip(Reason.RENDER_FAILED, f"{reply.why} ({attempt} requests)")
            await self._sleep(wait_s(reply, attempt))

    def _written_down(self, key: str, request: RenderRequest, reply: Reply) -> str:
        job_id = self.adapter.job_id(dict(reply.body or {}))
        # it becomes part of a path, in which two dots lead elsewhere
        if not isinstance(job_id, str | int) or not 0 < len(str(job_id)) <= 300 or not is_plain(str(job_id)):
            raise self._make_stop(f"{self.host.name} answers a submission without a job's id; is the adapter right?")
        answer = {"job_id": str(job_id), "host": self.host.name}
        depends = {"model": self.params.model, "prompt": request.prompt, "seed": request.seed, **self.settings}
        purchase = Purchase(key, "render_job", depends, answer, (0, 0), self.usd)
        _, self.spent = self.store.buy_many([purchase], self.account)
        self.failures, self.limited_since, self.takes_jobs = 0, None, True
        return answer["job_id"]

    def _refuse_to_overspend(self) -> None:
        if self.stopped:
            raise self._make_stop("stopped")
        if lack := self.store.find_lack_of_room():
            raise self._make_stop(lack)
        budget = self.params.budget_usd
        if budget is not None and self.spent + self.reserved + self.usd > budget + 1e-9:
            raise DataError(
                f"the budget is spent: {self.spent + self.reserved:.4f} of {budget:g} US dollars on "
                f"{self.params.model}; clips so far are kept, raise render.budget_usd to go on"
            )

    async def _fetch(self, key: str, job_id: str, old: bool) -> bytes:
        """Wait for a job and return its file; `old`: an earlier run bought it. Raises NoClip or DataError."""
        until = time.monotonic() + self.timeout_s
        wait, unknown, troubles, downloads, why = 0.0 if old else self.poll_s, 0, 0, 0, ""
        while True:
            left = until - time.monotonic()
            await self._sleep(min(wait, max(left, 0)))
            if wait > left:
                last = f", the last trouble: {why}" if why else ""
                raise NoClip(
                    Reason.RENDER_FAILED,
                    f"job {job_id} gave no clip in {self.timeout_s:g} s; the next run looks again{last}",
                )
            wait = self.poll_s
            reply = await self.host.call(self.adapter.look(job_id), max(until - time.monotonic(), 1.0))
            job = self.adapter.read(job_id, dict(reply.body or {})) if reply.kind == "answer" else None
            if job and job.state == "failed":
                self.store.forget(key)
                raise NoClip(Reason.RENDER_FAILED, self.host.redact(f"job {job_id} failed: {job.why}"))
            if job and job.state == "refused":
                raise NoClip(Reason.CONTENT_FILTER, self.host.redact(f"job {job_id}: {job.why}"))
            if job and job.state == "done":
                reply = await self.host.download(job.place, self.timeout_s)
                if reply.kind == "answer":
                    self.failures = 0
                    return reply.content
                if reply.kind == "rejected":
                    raise NoClip(Reason.BAD_CLIP, f"job {job_id}: {reply.why}")
                downloads += 1
                if reply.kind == "transient" and downloads == ATTEMPTS:
                    raise NoClip(
                        Reason.RENDER_FAILED,
                        f"job {job_id} is done, its clip cannot be had: {reply.why}; the next run looks again",
                    )
            why = reply.why or why
            self._look_after(reply)
            if reply.kind in ("unknown", "rejected"):
                unknown += 1
                if old:  # a host keeps jobs for a while; a later run may buy it anew
                    self.store.forget(key)
                    gone = "its clip is gone" if job else "the host does not know it any more"
                    raise NoClip(Reason.RENDER_FAILED, f"job {job_id}: {gone} ({reply.why})")
                if unknown == ATTEMPTS and job:
                    raise NoClip(Reason.RENDER_FAILED, f"job {job_id} is done, its clip cannot be had: {reply.why}")
                if unknown == ATTEMPTS:
                    raise self._make_stop(f"{self.host.name} does not know the job {job_id} it gave: {reply.why}")
            if reply.kind in ("transient", "limited"):
                troubles += 1
                wait = max(wait_s(reply, troubles), self.poll_s)

    def _look_after(self, reply: Reply) -> None:
        """Count failures in a row. Raises DataError when the host cannot be used."""
        if reply.kind == "stopped":
            raise self._make_stop(f"{self.host.name} will not work for {self.params.model}: {reply.why}")
        self.failures = self.failures + 1 if reply.kind == "transient" else 0
        if self.failures >= max(GONE_AFTER, 2 * self.workers):
            raise self._make_stop(
                f"{self.host.name}: {self.failures} calls in a row without an answer, the last: {reply.why}; "
                "jobs so far are written down, run again to go on"
            )

    def _pause(self, reply: Reply) -> None:
        now = time.monotonic()
        self.limited_since = self.limited_since or now
        waited = now - self.limited_since
        if waited > PATIENCE_S or (reply.retry_after or 0) > PATIENCE_S:
            longest = max(waited, reply.retry_after or 0) / 60
            raise self._make_stop(f"{self.host.name} takes no job for {longest:.0f} minutes: {reply.why}")
        pause = min(BACK_OFF_S + waited, LONGEST_BACK_OFF_S) if reply.retry_after is None else reply.retry_after
        self.paused_until = max(self.paused_until, now + pause)

    def _make_stop(self, why: str) -> DataError:
        if self.stopped is None:
            self.stopped = DataError(why)
            self.ending.set()
        return self.stopped

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not on when the run stops."""
        try:
            await asyncio.wait_for(self.ending.wait(), seconds)
        except TimeoutError:
            return
        raise self._make_stop("stopped")


def is_plain(job_id: str) -> bool:
    """Tell whether a job's id can be sent back: no control sign, no half of a character, and not all dots."""
    return job_id.isprintable() and bool(job_id.strip("."))


def wait_s(reply: Reply, attempt: int) -> float:
    """Return how long to wait after a call that failed: as long as the host says, which may say anything."""
    return back_off(attempt) if reply.retry_after is None else min(reply.retry_after, PATIENCE_S)


def back_off(attempt: int) -> float:
    # jitter: those that failed together do not come back together
    return min(BACK_OFF_S * 2 ** (attempt - 1), LONGEST_BACK_OFF_S) * random.uniform(0.5, 1)
