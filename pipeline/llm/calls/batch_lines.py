"""The lines of a batch's files: requests as they go in, answers and errors as they come out."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pipeline.llm.calls.endpoint import Endpoint, Reply
from pipeline.llm.calls.hosts import read_error_message

HEAP = 500
"""lines that are taken over together"""


def format_line(key: str, url: str, body: str) -> bytes:
    """Return a request as a line of a batch's input file."""
    return f'{{"custom_id": "{key}", "method": "POST", "url": "{url}", "body": {body}}}\n'.encode()


def count_line_bytes(key: str, body: str) -> int:
    """Return the most bytes that the line of a request takes."""
    return len(body.encode()) + len(key) + 100


def read_reply(endpoint: Endpoint, row: Mapping[str, Any], n: int) -> Reply:
    """Return what a line of an output or error file means; the same as if the request had been sent alone."""
    response, error = row.get("response"), row.get("error")
    if not isinstance(response, dict):
        reply = endpoint.read_failure(400, {"error": error}, {})
        code = error.get("code") if isinstance(error, dict) else None
        # without a response the model was not asked (the batch expired, the server failed)
        if reply.kind != "rejected":
            return reply
        return Reply("transient", why=f"{code}: {endpoint.redact(read_error_message(error))}")
    status, body = response.get("status_code"), response.get("body")
    headers = {"x-request-id": str(response.get("request_id"))}
    if not isinstance(status, int):
        status = 0
    if status >= 400:
        return endpoint.read_failure(status, body, headers)
    return endpoint.read_completion(status, body, headers, n)


def parse_line(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line, None for anything else."""
    try:
        row = json.loads(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines; cut at line feeds alone, since text may hold other signs that count as line ends."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for whole in lines:
            if whole.strip():
                yield whole
    if rest.strip():
        yield rest


async def group_lines(lines: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yield lists of HEAP lines, the last one shorter."""
    heap: list[bytes] = []
    async for text in lines:
        heap.append(text)
        if len(heap) == HEAP:
            yield heap
            heap = []
    if heap:
        yield heap
