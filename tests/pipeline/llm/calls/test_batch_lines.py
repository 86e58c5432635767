import asyncio
import json

import pytest

from pipeline.llm.calls.batch_lines import (
    HEAP,
    count_line_bytes,
    format_line,
    group_lines,
    parse_line,
    read_reply,
    split_lines,
)
from pipeline.llm.calls.endpoint import Endpoint
from tests.support.params import with_values


def collect(stream):
    async def gather():
        return [item async for item in stream]

    return asyncio.run(gather())


async def stream_of(items):
    for item in items:
        yield item


def test_a_line_is_a_request_and_no_longer_than_counted():
    body = json.dumps({"model": "m", "messages": []})
    line = format_line("k", "/v1/chat/completions", body)
    assert json.loads(line) == {
        "custom_id": "k", "method": "POST", "url": "/v1/chat/completions", "body": json.loads(body),
    }  # fmt: skip
    assert len(line) <= count_line_bytes("k", body)


def test_lines_end_at_line_feeds_wherever_the_chunks_do():
    chunks = [b'{"a": "x\xe2', b'\x80\xa8y"}\n\n{"b"', b":\r 1}"]  # a carriage return ends no line
    assert [parse_line(line) for line in collect(split_lines(stream_of(chunks)))] == [{"a": "x\u2028y"}, {"b": 1}]


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff", b"7"])
def test_what_is_no_object_is_none(text):
    assert parse_line(text) is None


def test_lines_come_in_heaps():
    heaps = collect(group_lines(stream_of([b"x"] * (HEAP + 1))))
    assert [len(heap) for heap in heaps] == [HEAP, 1]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"response": {"status_code": 200, "body": {"choices": [{"message": {"content": "x"}}]}}}, "answer"),
        ({"response": {"status_code": 400, "body": {"error": {"message": "too long"}}}}, "rejected"),
        ({"response": {"status_code": 500, "body": None}}, "transient"),
        ({"response": {"status_code": None, "body": {}}}, "transient"),
        ({"response": None, "error": {"code": "batch_expired", "message": "late"}}, "transient"),
        ({"response": None, "error": {"code": "insufficient_quota", "message": "pay"}}, "stopped"),
    ],
)
def test_a_line_means_what_the_single_answer_would(laptop, monkeypatch, row, kind):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")
    endpoint = Endpoint(with_values(laptop.teacher, backend="openai", model="m"))
    assert read_reply(endpoint, row, 1).kind == kind
