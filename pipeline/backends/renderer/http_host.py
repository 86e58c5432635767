"""One call to a host of video generators, or one download, and what came of it; http.py decides what follows."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import SecretStr

from pipeline.backends.renderer.http_adapters import Adapter, Call
from pipeline.llm.calls.answers import read_error_message
from pipeline.llm.calls.endpoint import host_of
from pipeline.llm.calls.limits import retry_after_s
from pipeline.runtime.io import DataError
from schemas.params_render import ADAPTER_KEYS, HttpRenderParams

CALL_S, STALLED_S = 60.0, 60.0
MOST_REPLY, MOST_FILE = 4 << 20, 512 << 20
"""ours: bytes of a reply and of a clip"""
MOST_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call met.

    answer: `body` is the reply's object, or `content` the file. transient: may be asked again; limited: too fast
    (429); rejected: this call will never do; stopped: none will; unknown: there is no such job or file. `lost`: the
    host may have acted on it all the same.
    """

    kind: Literal["answer", "transient", "limited", "rejected", "stopped", "unknown"]
    body: Mapping[str, Any] | None = None
    content: bytes = b""
    why: str = ""
    retry_after: float | None = None
    filtered: bool = False
    lost: bool = False


class Host:
    """An address that makes clips, and the key for it. The key goes to this address alone."""

    def __init__(self, params: HttpRenderParams, adapter: Adapter):
        self.adapter, self.base_url = adapter, params.base_url.rstrip("/")
        self.name, self.model = host_of(self.base_url), params.model
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
            raise DataError("render.base_url must be http(s)://host[:port][/path], without a name and password")
        self.variable = params.api_key_env or ADAPTER_KEYS[params.adapter]
        self.needs_key = bool(params.needs.keys)
        self.key = SecretStr("")

    async def open(self) -> None:
        """Make the session; in the loop that will use it. Raises DataError without a key or the library."""
        try:
            import aiohttp
        except ImportError:
            raise DataError("render.backend http needs the package aiohttp: pip install 'vpo[openai]'") from None
        self.key = SecretStr(os.environ.get(self.variable, ""))
        if self.needs_key and not self.key.get_secret_value():
            raise DataError(f"no key for {self.name}: set the environment variable {self.variable}")
        self.aiohttp = aiohttp
        # a connection that a host closes while it is idle looks as if it had been lost after the call was sent
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        self.session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        # a host on the internet could have us fetch from this machine or its network, and tell what we found in rows
        sockets = None if await is_inside(urlsplit(self.base_url).hostname) else outside_alone
        connector = aiohttp.TCPConnector(force_close=True, limit=0, socket_factory=sockets)
        self.files = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        await self.session.close()
        await self.files.close()

    async def call(self, call: Call) -> Reply:
        """Send a call once. Raises nothing that a server can cause."""
        asks = call.body is None
        try:
            async with self.session.request(
                "GET" if asks else "POST",
                self.base_url + call.path,
                json=call.body,
                headers={**call.headers, **self._authorization()},
                allow_redirects=False,
                timeout=self.aiohttp.ClientTimeout(total=CALL_S, connect=15),
            ) as response:
                status, headers = response.status, response.headers
                text = await _read_bounded(response, MOST_REPLY)
        except self._connection_faults() as fault:
            return Reply("transient", why=self.redact(f"{type(fault).__name__}: {fault}"))
        except (self.aiohttp.ClientError, TimeoutError, ValueError) as fault:
            return Reply("transient", why=self.redact(f"{type(fault).__name__}: {fault}"), lost=True)
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if status < 300:
            if isinstance(body, dict):
                return Reply("answer", body)
            why = self.redact(f"{status} with {' '.join(text[:200].decode(errors='replace').split())!r}, not JSON")
            return Reply("transient", why=why, lost=True)
        return self._make_failed_reply(status, headers, body if isinstance(body, dict) else {}, text, asks)

    def _make_failed_reply(self, status: int, headers: Mapping[str, str], body: dict, text: bytes, asks: bool) -> Reply:
        words = read_error_message(body) or " ".join(text[:200].decode(errors="replace").split())
        why = self.redact(f"{status}: {words}")
        if status < 400:
            try:
                where = host_of(urljoin(self.base_url, headers.get("location", "")))
            except ValueError:
                where = "an address that is none"
            why = f"{status}: it sends calls on to {where}; base_url must be the address itself"
            return Reply("stopped", why=why)
        if self.adapter.filtered(body):
            return Reply("rejected", why=why, filtered=True)
        if status in (401, 402, 403) or self.adapter.out_of_money(body):
            return Reply("stopped", why=why)
        if status in (404, 410):
            return Reply("unknown" if asks else "stopped", why=why)
        waiting = retry_after_s(headers, time.time())
        if status == 429:
            return Reply("limited", why=why, retry_after=waiting)
        if status in (408, 409) or status >= 500:
            # a gateway that gave up does not know what became of the call
            return Reply("transient", why=why, retry_after=waiting, lost=status in (408, 502, 504))
        return Reply("rejected", why=why)

    async def download(self, place: Any, longest_s: float) -> Reply:
        """Fetch a clip within `longest_s` from where the host says: a URL, or a path that follows base_url.

        The key goes along to our host alone. Raises nothing that a server can cause.
        """
        if not isinstance(place, str):
            return Reply("rejected", why="the clip's address is no text")
        url = self.base_url + place if place.startswith("/") else place
        for hop in range(MOST_REDIRECTS + 1):
            try:
                if urlsplit(url).scheme not in ("http", "https"):
                    return Reply("rejected", why="the clip's address is neither http nor https")
                headers = self._authorization() if not hop and self._is_ours(url) else {}
                async with self.files.get(
                    url,
                    headers=headers,
                    allow_redirects=False,
                    timeout=self.aiohttp.ClientTimeout(total=longest_s, connect=15, sock_read=STALLED_S),
                ) as response:
                    status = response.status
                    if status in (301, 302, 303, 307, 308) and response.headers.get("location"):
                        url = urljoin(url, response.headers["location"])
                        continue
                    if status == 200:
                        if (response.content_length or 0) > MOST_FILE:
                            return Reply("rejected", why=f"a file of {response.content_length} bytes")
                        return Reply("answer", content=await _read_bounded(response, MOST_FILE))
            except ValueError as fault:  # an address that is none, or a file without an end
                return Reply("rejected", why=self.redact(str(fault)))
            except (self.aiohttp.ClientError, TimeoutError) as fault:
                if isinstance(inside := getattr(fault, "os_error", None), Inside):
                    return Reply("rejected", why=f"{host_of(url)}: {inside}")
                return Reply("transient", why=self.redact(f"{type(fault).__name__}: {fault}"))
            why = f"{status} from {host_of(url)}"
            if status == 401 and headers:
                return Reply("stopped", why=why)
            if status in (401, 403, 404, 410):
                return Reply("unknown", why=why)
            return Reply("transient" if status in (408, 425, 429) or status >= 500 else "rejected", why=why)
        return Reply("rejected", why=f"more than {MOST_REDIRECTS} redirects")

    def _is_ours(self, url: str) -> bool:
        mine, other = urlsplit(self.base_url), urlsplit(url)
        return (mine.scheme, mine.netloc) == (other.scheme, other.netloc)

    def _authorization(self) -> dict[str, str]:
        key = self.key.get_secret_value()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _connection_faults(self) -> tuple[type[Exception], ...]:
        return self.aiohttp.ClientConnectorError, self.aiohttp.ConnectionTimeoutError, self.aiohttp.InvalidURL

    def redact(self, words: str) -> str:
        """Return a server's words without the key, should it repeat it, and short."""
        if key := self.key.get_secret_value():
            words = words.replace(key, "[key]")  # before the cut, which could leave half a key
        return words[:300].encode(errors="replace").decode()


class Inside(OSError):
    """An address of this machine or of its own network."""


async def is_inside(host: str | None) -> bool:
    """Tell whether a host lies in our own network; one that nobody knows does not."""
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError):  # the latter for what can be no host's name
        return False
    return any(not ip_address(address[0]).is_global for *_, address in addresses)


def outside_alone(info: tuple) -> socket.socket:
    """Return a socket for an entry of getaddrinfo. Raises Inside: here, where no other name can be told any more."""
    family, kind, protocol, _, address = info
    if not ip_address(address[0]).is_global:
        raise Inside("an address inside our own network, where base_url does not lie")
    return socket.socket(family, kind, protocol)


async def _read_bounded(response: Any, most: int) -> bytes:
    """Return a reply's bytes. Raises ValueError when there are more than `most`."""
    parts, size = [], 0
    async for part in response.content.iter_chunked(1 << 18):
        parts.append(part)
        if (size := size + len(part)) > most:
            raise ValueError(f"more than {most} bytes")
    return b"".join(parts)
