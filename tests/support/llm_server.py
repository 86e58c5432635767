"""An OpenAI-compatible server on loopback: it answers through a function, with faults by seed, latency and limits.

`serving` runs it in a thread of this process, `serving_process` in a process of its own.
"""

import asyncio
import contextlib
import hashlib
import json
import math
import multiprocessing
import re
import socket
import struct
import time
import urllib.request
from collections import Counter
from statistics import NormalDist

from tests.support.in_thread import in_thread
from tests.support.llm_batches import Batches
from tests.support.llm_faults import (
    ALL_FAULTS,
    FAULTS,
    UNREADABLE,
    UNSENT,
    comes,
    completion,
    failure,
    fault_by,
    fault_of,
)
from tests.support.llm_limits import Limits

__all__ = ["ALL_FAULTS", "FAULTS", "fault_of", "serving", "serving_process"]

NORMAL = NormalDist()
DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")


class LLMServer:
    """The state and the handler.

    `answer(model, messages)`, or `answer(body)` with `by_body`, returns a text, or a list with a text for each choice.
    `delay_s` is the latency, constant or, with `sigma`, the mean of a log-normal drawn by conversation. Without `keep`
    no bodies and headers are held. `log` has (time, conversation, what, prompt tokens, completion tokens, latency);
    what is ok, a fault, 429_limit, or gone where the client left first. After `moves_after` replies the alias is
    another snapshot's.
    """

    def __init__(
        self, answer, fault_share=0.0, seed=0, delay_s=0.0, sigma=0.0, faults=FAULTS, requests_per_minute=None,
        tokens_per_minute=None, burst_s=1.0, told=True, retry_after=("ms",), by_body=False, keep=True, polls=3,
        expire_share=0.0, moves_after=None,
    ):  # fmt: skip
        self.moves_after = moves_after
        self.answer, self.by_body, self.keep = answer, by_body, keep
        self.fault_share, self.seed, self.faults = fault_share, seed, faults
        self.delay_s, self.sigma = delay_s, sigma
        limits = (requests_per_minute, tokens_per_minute, burst_s, told, retry_after)
        self.limits = Limits(*limits, time.monotonic()) if requests_per_minute or tokens_per_minute else None
        self.batches = Batches(self, polls, expire_share)
        self.requests, self.headers = [], []
        self.forget()

    def forget(self):
        self.log: list[tuple] = []
        self.seen: Counter = Counter()
        self.in_flight = self.max_in_flight = 0

    async def handle(self, request):
        from aiohttp import web

        path = request.path
        if path.endswith("/chat/completions"):
            return await self.chat(request)
        if path == "/log":
            return web.json_response(self.log)
        if path == "/totals":
            return web.json_response(self.totals())
        if path == "/forget":
            self.forget()
            return web.json_response({})
        return await self.batches.handle(request)

    async def chat(self, request):
        arrived = time.monotonic()
        body = json.loads(await request.read())
        if deployment := DEPLOYMENT.match(request.path):
            body["model"] = deployment[1]
        if self.keep:
            self.requests.append(body)
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        entry = [arrived, "", "gone", 0, 0, 0.0]
        try:
            return await self.respond(request, body, entry)
        finally:
            self.in_flight -= 1
            self.log.append(tuple(entry))

    async def respond(self, request, body, entry):
        from aiohttp import web

        digest = hashlib.sha256(f"{self.seed}/{json.dumps(body['messages'])}".encode()).digest()
        conversation = entry[1] = digest.hex()[:16]
        if not body["messages"]:
            entry[2] = "400"
            said = {"error": {"message": "[] is too short - 'messages'", "type": "invalid_request_error"}}
            return web.json_response(said, status=400)
        answered, headers = None, {}
        if self.limits:
            answered = self.answered(body)
            ok, headers = self.limits.admit(answered[1]["total_tokens"], entry[0])
            if not ok:
                entry[2] = "429_limit"
                said = b'{"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}'
                return web.Response(body=said, status=429, content_type="application/json", headers=headers)
        before = self.seen[conversation]
        self.seen[conversation] += 1
        fault = fault_by(digest, self.fault_share, self.faults)
        if fault and not comes(fault, digest, before):
            fault = None
        if latency := self.latency(digest):
            entry[5] = latency
            await asyncio.sleep(latency)
        if fault and (failed := failure(fault)):
            entry[2] = fault
            status, payload, kind, more = failed
            return web.Response(body=payload, status=status, content_type=kind, headers=headers | more)
        if not answered:
            answered = self.answered(body)
        texts, usage = answered
        moved = self.moves_after is not None and len(self.log) >= self.moves_after
        payload = completion(fault, body["model"], texts, usage, "later" if moved else "snapshot")
        entry[2:5] = fault or "ok", usage["prompt_tokens"], usage["completion_tokens"]
        if fault in UNSENT:
            await leave(request, fault, payload)
        return web.Response(body=payload, content_type="application/json", headers=headers)

    def answered(self, body: dict) -> tuple[list[str], dict]:
        """Return a text for each choice, and the usage, which counts words."""
        found = self.answer(body) if self.by_body else self.answer(body["model"], body["messages"])
        texts = found if isinstance(found, list) else [found] * (body.get("n") or 1)
        read = sum(4 + len(message["content"].split()) for message in body["messages"])
        written = sum(1 + len(text.split()) for text in texts)
        return texts, {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def latency(self, digest: bytes) -> float:
        if not self.delay_s or not self.sigma:
            return self.delay_s
        draw = (int.from_bytes(digest[10:16], "big") + 0.5) / 2**48
        return self.delay_s * math.exp(self.sigma * NORMAL.inv_cdf(draw) - self.sigma**2 / 2)

    def totals(self) -> dict:
        """Return sums over the log; the tokens are those of the completions that can be read."""
        what = Counter(entry[2] for entry in self.log)
        return {
            "requests": len(self.log),
            "answered": dict(sorted(what.items())),
            "input_tokens": sum(entry[3] for entry in self.log if entry[2] not in UNREADABLE),
            "output_tokens": sum(entry[4] for entry in self.log if entry[2] not in UNREADABLE),
            "429s": sum(count for name, count in what.items() if name.startswith("429")),
            "gone": what["gone"],
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "latency_s": sum(entry[5] for entry in self.log),
            "cpu_s": time.process_time(),
        }

    async def start(self):
        """Listen on a free port of loopback; return the runner to clean up."""
        from aiohttp import web

        server = web.Server(self.handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner


async def leave(request, fault: str, payload: bytes) -> None:
    """Never answer, reset the connection, or send half of what was promised; the handler ends with the connection."""
    transport = request.transport
    if fault == "reset":
        linger = struct.pack("ii", 1, 0)  # without it the other side would see an orderly end
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    elif fault == "cut_short":
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        transport.write(head.encode() + payload[: len(payload) // 2])
        transport.close()
    await asyncio.Event().wait()


def serving(answer, **settings):
    """Give an LLMServer in a thread, with base_url, requests (bodies), headers (a dict each) and log."""
    return in_thread(LLMServer(answer, **settings))


class Remote:
    """A server in a process of its own."""

    def __init__(self, base_url: str, pid: int):
        self.base_url, self.pid = base_url, pid

    def read(self, name: str):
        with urllib.request.urlopen(f"{self.base_url.removesuffix('/v1')}/{name}") as response:
            return json.load(response)

    def log(self) -> list[list]:
        return self.read("log")

    def totals(self) -> dict:
        return self.read("totals")

    def forget(self) -> None:
        """Start again with an empty log, and with faults that nobody has met."""
        self.read("forget")


@contextlib.contextmanager
def serving_process(answer, **settings):
    """Serve in a process of its own, which keeps the log alone; `answer` is a function of a module, or a partial."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, answer, {"keep": False} | settings), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Remote(ours.recv(), process.pid)
    finally:
        ours.close()
        process.join(120)
        process.close()


def _serve(pipe, answer, settings):
    async def until_closed():
        server = LLMServer(answer, **settings)
        runner = await server.start()
        pipe.send(server.base_url)
        closed = asyncio.Event()
        # the end of the pipe is also the end of a parent that was killed
        asyncio.get_running_loop().add_reader(pipe.fileno(), closed.set)
        await closed.wait()
        await runner.cleanup()

    asyncio.run(until_closed())
