"""Any endpoint that speaks the OpenAI chat API: OpenAI, vLLM, GLM-4 and others by `base_url`.

Every answer is stored before it is used; a failure is not an answer and is asked again by the next run.
"""

import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from pipeline.backends import Outcome, Unparsed
from pipeline.backends.teacher import Messages
from pipeline.replies import REFUSAL
from pipeline.store import Store, store_key
from schemas.base import Provenance
from schemas.params import Teacher as TeacherParams
from schemas.reasons import Reason

T = TypeVar("T")
ATTEMPTS, TIMEOUT_S = 5, 120.0  # ours: the authors' code skips what fails
# ours: this many requests in a row without an answer mean that the endpoint is gone, not that a row is at fault
GONE_AFTER = 10


class TeacherStopped(click.ClickException):
    """The endpoint cannot be used at all; what was answered is kept and the next run goes on from there."""


class OpenAI:
    """Asks with a pool of threads and yields in input order; at most twice `max_concurrency` rows are held."""

    def __init__(self, params: TeacherParams, store: Store | None = None):
        try:
            import openai
        except ImportError:
            raise TeacherStopped("teacher.backend openai needs the openai package: pip install 'vpo[openai]'") from None
        self.params, self.store = params, store or Store()
        variable = params.api_key_env or "OPENAI_API_KEY"
        key = SecretStr(os.environ.get(variable, ""))
        if not key.get_secret_value():
            raise TeacherStopped(f"no key for {params.model}: set the environment variable {variable}")
        self.client = openai.OpenAI(
            api_key=key.get_secret_value(),
            base_url=params.base_url,
            max_retries=(params.attempts or ATTEMPTS) - 1,
            timeout=params.timeout_s or TIMEOUT_S,
        )
        self.host = urlsplit(str(self.client.base_url)).netloc.rpartition("@")[2]  # never a name and password
        self.sampling = {
            name: value
            for name in ("temperature", "top_p", "max_completion_tokens")
            if (value := getattr(params, name)) is not None
        }
        self.failures = 0
        self.lock = threading.Lock()
        self.turns: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def map(
        self, asked: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        with ThreadPoolExecutor(self.params.max_concurrency) as pool:
            waiting: deque[Future] = deque()
            try:
                for messages in asked:
                    waiting.append(pool.submit(self.ask, messages, parse, template, sample))
                    while len(waiting) >= 2 * self.params.max_concurrency:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def ask(self, messages: Messages, parse: Callable[[str], T], template: str | None, sample: int) -> Outcome[T]:
        """Return the outcome for one conversation; an answer that cannot be parsed is asked for again."""
        detail = ""
        for attempt in range(self.params.parse_attempts):
            depends = {
                "host": self.host,
                "model": self.params.model,
                "messages": messages,
                "sampling": self.sampling,
                "template": template,
                "sample": sample,
                "attempt": attempt,
            }
            key = store_key("teacher", **depends)
            answer = self.answer(key, depends)
            if "failed" in answer:
                return Outcome(reason=Reason.FAILED, detail=answer["failed"])
            by = Provenance(
                backend="openai", model=self.params.model, revision=answer["model"], template=template, store_key=key
            )
            if answer["reason"]:
                return Outcome(by=by, reason=Reason(answer["reason"]), detail=answer["detail"][:500])
            try:
                return Outcome(value=parse(answer["text"]), by=by)
            except Unparsed as fault:
                if fault.detail == REFUSAL:
                    return Outcome(by=by, reason=Reason.REFUSED, detail=answer["text"][:500])
                detail = fault.detail
        return Outcome(by=by, reason=Reason.UNPARSED, detail=f"{detail} ({self.params.parse_attempts} answers)")

    def answer(self, key: str, depends: dict) -> dict:
        """Return the stored answer, else buy it; siblings that ask the same wait for it, so it is bought once."""
        with self.lock:
            turn = self.turns[key]
        with turn:
            if (stored := self.store.get(key)) is not None:
                return stored
            bought = self.request(depends["messages"])
            if "failed" in bought:
                return bought
            self.store.put(key, "teacher", depends, bought)
            # the first answer to a key stays, also when another process bought it meanwhile
            return self.store.get(key)

    def request(self, messages: Messages) -> dict:
        """Send one request; return {model, text, reason, detail, usage, ...}, or {failed: why}."""
        import openai

        try:
            response = self.client.chat.completions.create(model=self.params.model, messages=messages, **self.sampling)
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as fault:
            raise TeacherStopped(
                f"{self.host} answers {fault.status_code} for {self.params.model}: {self.said(fault)}"
            ) from None
        except openai.BadRequestError as fault:
            if "content_filter" in f"{fault.code} {self.said(fault)}":
                return set_aside(self.params.model, Reason.CONTENT_FILTER, self.said(fault))
            return {"failed": f"400: {self.said(fault)}"}
        except openai.APIError as fault:
            if getattr(fault, "code", None) == "insufficient_quota":
                raise TeacherStopped(f"{self.host}: the account has no quota left: {self.said(fault)}") from None
            return self.failed(f"{getattr(fault, 'status_code', type(fault).__name__)}: {self.said(fault)}")
        except ValueError as fault:
            return self.failed(f"not the JSON of a chat completion: {str(fault)[:200]}")
        choices = getattr(response, "choices", None)
        if not choices or not getattr(choices[0], "message", None):
            return self.failed("a completion without choices")
        self.failures = 0
        return read(response)

    def said(self, fault) -> str:
        """Return the server's own words, without headers and, where it repeats the key, without the key."""
        body = getattr(fault, "body", None)
        message = body.get("message") if isinstance(body, dict) else None
        words = str(message or getattr(fault, "message", fault))
        return words.replace(self.client.api_key, "[key]")[:300]

    def failed(self, why: str) -> dict:
        with self.lock:
            self.failures += 1
            gone = self.failures >= max(GONE_AFTER, 2 * self.params.max_concurrency)
        if gone:
            raise TeacherStopped(
                f"{self.host}: {self.failures} requests in a row without an answer, the last: {why}; "
                "answers so far are kept, run again to go on"
            )
        return {"failed": why}


def read(response) -> dict:
    """Return what is stored of a completion: its text, or the typed reason why there is none."""
    choice = response.choices[0]
    text = choice.message.content or ""
    answer = {
        "model": response.model or "",
        "fingerprint": getattr(response, "system_fingerprint", None),
        "usage": response.usage.model_dump() if getattr(response, "usage", None) else None,
        "finish_reason": choice.finish_reason,
        "text": text,
        "reason": None,
        "detail": "",
    }
    if choice.message.refusal:
        answer |= {"reason": Reason.REFUSED, "detail": choice.message.refusal}
    elif choice.finish_reason == "content_filter":
        answer |= {"reason": Reason.CONTENT_FILTER}
    elif choice.finish_reason == "length":
        answer |= {"reason": Reason.TRUNCATED, "detail": f"cut after {len(text)} characters"}
    elif not text.strip():
        answer |= {"reason": Reason.EMPTY}
    return answer


def set_aside(model: str, reason: Reason, detail: str) -> dict:
    return {"model": model, "text": "", "reason": reason, "detail": detail}
