"""Sends one request and says what came back; the way to buy decides what follows.

The openai client keeps authentication and Azure's addresses: the first request goes through it, later ones with its
address and headers through its HTTP client alone, at two thirds of the CPU time. Its retries are off, because every one
of them is counted, paced and paid for by ours.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from pipeline.llm.calls import hosts
from pipeline.llm.calls.answers import find_fault
from pipeline.llm.calls.limits import retry_after_s
from schemas.params import EndpointParams
from schemas.section import find_url_fault

if TYPE_CHECKING:
    from httpx2 import URL, Response

TIMEOUT_S = 120.0  # ours
ATTEMPTS = 5  # ours: the authors' code skips what fails
PATIENCE_S = 900.0
"""ours: a run that gets nothing but 429 for so long, or is told to wait longer, stops and says so"""
BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 8.0
OF_ONE_BODY = ("content-length", "transfer-encoding")
"""headers that tell of the body of one request"""
_NO_HEADERS: Mapping[str, str] = {}


class EndpointStopped(click.ClickException):
    """The endpoint cannot be used at all; what was answered is kept and the next run goes on from there."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request met. `answer` is kept and paid for; the others hold `why`.

    transient: may be asked again; limited: too fast (429); rejected: this request will never do; stopped: none will.
    `lost`: the server may have answered, and count it, all the same.
    """

    kind: Literal["answer", "transient", "limited", "rejected", "stopped"]
    status: int = 0
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)
    why: str = ""
    retry_after: float | None = None
    lost: bool = False


def base_url_of(params: EndpointParams) -> str:
    """Return the address that is asked: that of the params, else $OPENAI_BASE_URL, else OpenAI's own."""
    return params.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"


def host_of(base_url: str) -> str:
    """Return host and port, as they stand in keys and accounts: never a name and password."""
    return urlsplit(base_url).netloc.rpartition("@")[2]


def was_never_sent(fault: BaseException) -> bool:
    """Return whether no connection came about, so that nobody can have answered.

    The client names a connection that was reset behind a request a ConnectTimeout too; what it stands for tells.
    """
    import aiohttp

    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return True
        cause = cause.__cause__
    return False


def read_error_body(text: str) -> Any:
    """Return what the text of a failed request holds: what stands under "error", else its JSON, else the text."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()
    return body.get("error", body) if isinstance(body, dict) else body


class Endpoint:
    """An address that speaks the OpenAI chat API, and the key for it. Opened and closed by the ledger."""

    def __init__(self, params: EndpointParams):
        self.params = params
        variable = params.api_key_env or "OPENAI_API_KEY"
        self.key = SecretStr(os.environ.get(variable, ""))
        try:
            import openai
        except ImportError:
            raise EndpointStopped(f"{params.model} needs the openai package: pip install -e '.[openai]'") from None
        if not self.key.get_secret_value():
            raise EndpointStopped(f"no key for {params.model}: set the environment variable {variable}")
        if params.api_version and not params.base_url:
            raise EndpointStopped("api_version is Azure's: set base_url to https://<resource>.openai.azure.com")
        self.base_url = base_url_of(params)
        if fault := find_url_fault(self.base_url):
            raise EndpointStopped(f"OPENAI_BASE_URL {fault} (it is {self.base_url!r})")
        self.host = host_of(self.base_url)
        self.openai = openai

    def open(self) -> None:
        """Make the client; in the thread whose event loop will use it."""
        import httpx2

        openai, timeout = self.openai, self.params.timeout_s or TIMEOUT_S
        patience = httpx2.Timeout(timeout, connect=min(timeout, 15.0))
        self.http = openai.DefaultAioHttpClient(timeout=patience)
        settings: dict[str, Any] = dict(
            api_key=self.key.get_secret_value(), max_retries=0, timeout=patience, http_client=self.http
        )
        if self.params.api_version:
            self.client = openai.AsyncAzureOpenAI(
                azure_endpoint=self.base_url, api_version=self.params.api_version, **settings
            )
        else:
            self.client = openai.AsyncOpenAI(base_url=self.base_url, **settings)
        self.httpx2 = httpx2
        self.first: tuple[URL, list[tuple[str, str]]] | None = None
        self.extensions = {"timeout": patience.as_dict()}

    async def close(self) -> None:
        await self.client.close()

    async def send(self, body: Mapping[str, Any]) -> Reply:
        """Send a chat completion's `body` once. Raises nothing that a server can cause."""
        httpx2 = self.httpx2
        try:
            response = await self._post(body)
        except (httpx2.RequestError, self.openai.APIError, OSError, EOFError) as fault:
            # no connection, no answer in time, an answer that breaks off
            why = self.redact(f"{type(fault).__name__}: {fault}")
            return Reply("transient", why=why, lost=not was_never_sent(fault))
        except UnicodeEncodeError as fault:
            return Reply("rejected", why=f"text that is no UTF-8: {fault.reason}")
        # a plain dict: the library's headers are looked up at a tenth of its speed, several times a reply
        headers = {name.lower(): value for name, value in response.headers.items()}
        if not response.is_success:
            return self.read_failure(response.status_code, read_error_body(response.text), headers)
        try:
            completion = json.loads(response.content)
        except (ValueError, RecursionError) as fault:
            why = f"not the JSON of a chat completion: {self.redact(str(fault))}"
            return Reply("transient", response.status_code, None, headers, why, lost=True)
        return self.read_completion(response.status_code, completion, headers, body.get("n") or 1)

    async def _post(self, body: Mapping[str, Any]) -> "Response":
        """Return the response to `body`, of any status. Raises RequestError where there is none."""
        openai, httpx2 = self.openai, self.httpx2
        if self.first is not None:
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            url, headers = self.first
            request = httpx2.Request("POST", url, headers=headers, content=content, extensions=self.extensions)
            return await self.http.send(request)
        try:
            response: Response = await self.client.post("/chat/completions", cast_to=httpx2.Response, body=body)
        except openai.APIStatusError as fault:
            response = fault.response
        except openai.APIConnectionError as fault:
            if (cause := fault.__cause__) is None:
                raise
            raise cause from cause.__cause__  # which tells whether a connection came about
        request = response.history[0].request if response.history else response.request  # before any redirect
        headers = [(name, value) for name, value in request.headers.multi_items() if name not in OF_ONE_BODY]
        self.first = request.url, headers
        return response

    def read_completion(self, status: int, body: Any, headers: Mapping[str, str], n: int) -> Reply:
        """Return what a body means that should be the completion of a request for `n` choices."""
        if (block := hosts.read_block(body)) is not None:
            return self._filtered(block, headers)
        if (stop := hosts.read_stop(body)) is not None:
            return Reply("stopped", status, None, headers, self.redact(stop))
        if isinstance(body, dict) and not body.get("choices") and hosts.is_error(body):
            return Reply("transient", status, None, headers, self.redact(hosts.read_error_message(body)))
        if word := hosts.find_interruption(body):
            return Reply("transient", status, body, headers, f"finish reason {word}")
        if fault := find_fault(body, n):
            return Reply("transient", status, body, headers, fault)  # its usage is paid for
        return Reply("answer", status, body, headers)

    def read_failure(self, status: int, body: Any, headers: Mapping[str, str]) -> Reply:
        """Return what a status of 400 and above means, in the words of many hosts (pipeline/llm/calls/hosts.py)."""
        words = self.redact(hosts.read_error_message(body))
        why = f"{status}: {words}"
        if hosts.is_filtered(status, body):
            return self._filtered(words, headers)
        if hosts.is_unpaid(status, body) or hosts.is_locked_out(status, body):
            return Reply("stopped", status, None, headers, why)
        waiting = retry_after_s(headers, time.time())
        if status == 429:
            return Reply("limited", status, None, headers, why, waiting)
        if (status in (408, 409) or status >= 500) and headers.get("x-should-retry") != "false":
            # a 503 is said before the work; behind the others it may have been done
            return Reply("transient", status, None, headers, why, waiting, lost=status not in (409, 503))
        return Reply("rejected", status, None, headers, why)

    def _filtered(self, words: str, headers: Mapping[str, str]) -> Reply:
        # in one form for all hosts, and not the body itself: it may repeat the key
        error = {"code": "content_filter", "message": self.redact(words) or "the host filtered it"}
        return Reply("answer", 400, {"error": error}, headers)

    def redact(self, words: str) -> str:
        """Return a server's words without the key, should it repeat it, and short; half characters become "?"."""
        whole = words.replace(self.key.get_secret_value(), "[key]")  # before the cut, which could leave half a key
        return " ".join(whole[:300].encode(errors="replace").decode().split())
