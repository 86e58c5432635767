"""What a reply of a host of video generators means; nothing is sent."""

import asyncio
import gzip
import socket
import zlib
from types import SimpleNamespace

import pytest

from pipeline.backends.renderer.http_adapters import ADAPTERS
from pipeline.backends.renderer.http_host import (
    Host,
    Inside,
    Reply,
    is_inside,
    outside_alone,
    read_bounded,
)
from pipeline.runtime.io import DataError
from tests.support.clip_requests import params


@pytest.fixture
def host(laptop):
    settings = params(laptop, "https://films.example:8/v1/")
    return Host(settings, ADAPTERS[settings.adapter])


@pytest.mark.parametrize(
    ("status", "asks", "kind", "lost"),
    [
        (301, False, "stopped", False), (399, False, "stopped", False), (400, False, "rejected", False),
        (401, False, "stopped", False), (402, False, "stopped", False), (403, False, "stopped", False),
        (404, False, "stopped", False), (404, True, "unknown", False), (410, True, "unknown", False),
        (410, False, "stopped", False), (408, False, "transient", True), (409, False, "transient", False),
        (422, False, "rejected", False), (429, False, "limited", False), (500, False, "transient", False),
        (502, False, "transient", True), (503, True, "transient", False), (504, False, "transient", True),
    ],
)  # fmt: skip
def test_a_status_means_one_kind_and_a_gateway_that_gave_up_may_have_passed_it_on(host, status, asks, kind, lost):
    headers = {"retry-after": "7", "location": "https://other.example/x"}
    reply = host._make_failed_reply(status, headers, {"error": {"message": "so it is"}}, b"", asks)
    assert (reply.kind, reply.lost, reply.filtered) == (kind, lost, False)
    waits = kind in ("limited", "transient")
    assert reply.retry_after == (7.0 if waits else None)
    where = f"{status}: it sends calls on to other.example; base_url must be the address itself"
    assert reply.why == (where if status < 400 else f"{status}: so it is")


def test_the_words_of_a_failure_are_the_hosts_without_the_key_and_short(host):
    from pydantic import SecretStr

    host.key = SecretStr("sk-secret")
    why = host._make_failed_reply(500, {}, {}, b"the  key\nsk-secret " + b"x" * 900, False).why
    assert why.startswith("500: the key [key] xxx") and len(why) <= 300 and "secret" not in why
    assert host.redact("half \ud83d") == "half ?"
    assert host._authorization() == {"Authorization": "Bearer sk-secret"}
    host.key = SecretStr("")
    assert host._authorization() == {} and host.redact("as it is") == "as it is"


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("https://films.example:8/v1/a.mp4", True), ("https://films.example:8/b", True),
        ("http://films.example:8/b", False), ("https://films.example/b", False),
        ("https://films.example.org:8/", False),
    ],
)  # fmt: skip
def test_an_address_is_ours_with_our_scheme_host_and_port(host, url, ours):
    assert host._is_ours(url) == ours


@pytest.mark.parametrize(
    "url", ["ftp://films.example", "films.example", "https://me:secret@films.example", "https:///v1"]
)
def test_another_address_than_http_without_a_name_is_refused(laptop, url):
    settings = SimpleNamespace(base_url=url, model="m")
    with pytest.raises(DataError, match="render.base_url must be http"):
        Host(settings, None)


@pytest.mark.parametrize(
    ("name", "inside"),
    [("127.0.0.1", True), ("10.1.2.3", True), ("::1", True), ("1.1.1.1", False), ("no such.host", False)],
)
def test_an_address_of_our_own_network_is_inside(name, inside):
    assert asyncio.run(is_inside(name)) == inside


def test_no_socket_is_opened_to_our_own_network():
    made = outside_alone((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 80)))
    assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)
    made.close()
    with pytest.raises(Inside, match="inside our own network"):
        outside_alone((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.168.0.1", 80)))


def response(*parts, encoding=None):
    async def chunks(size):
        for part in parts:
            yield part

    headers = {"Content-Encoding": encoding} if encoding else {}
    return SimpleNamespace(headers=headers, content=SimpleNamespace(iter_chunked=chunks))


def test_a_reply_is_read_whole_packed_or_not_and_never_beyond_its_bound():
    packed = gzip.compress(b"a" * 1000)

    def read(most, *parts, **more):
        return asyncio.run(read_bounded(response(*parts, **more), most))

    assert read(4, b"ab", b"cd") == b"abcd"
    assert read(1000, packed[:9], packed[9:], encoding="GZIP") == b"a" * 1000
    assert read(4, b"abcd", encoding="identity") == b"abcd"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read(4, b"abc", b"de")
    with pytest.raises(ValueError, match="more than 999 bytes"):
        read(999, packed, encoding="gzip")
    with pytest.raises(ValueError, match="a reply in the encoding 'br', which was not asked for"):
        read(999, b"x", encoding="br")
    with pytest.raises(ValueError, match="broken gzip"):
        read(999, zlib.compress(b"x"), encoding="gzip")


def test_a_place_that_is_no_address_is_refused_before_anything_is_fetched(host):
    assert asyncio.run(host.download(7, 1)) == Reply("rejected", why="the clip's address is no text")
    assert asyncio.run(host.download("ftp://x/a", 1)).why == "the clip's address is neither http nor https"
