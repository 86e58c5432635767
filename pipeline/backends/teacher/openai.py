"""Any endpoint that speaks the OpenAI chat API: OpenAI, Azure, vLLM, GLM-4 and others by `base_url`.

A conversation is asked through the paid-call engine (pipeline/llm/calls); an answer that cannot be read is asked for
again with the reason, a set number of times, and then set aside.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pipeline.llm.answer_forms import Form
from pipeline.llm.calls.answers import Answer, StoredAnswer, read_answers
from pipeline.llm.calls.engine import Engine
from pipeline.llm.model_text import REFUSAL, clean_reply, read_reason
from pipeline.llm.template import Template
from pipeline.runtime.store import Store
from schemas.base import Provenance
from schemas.params_teacher import OpenAITeacherParams
from schemas.reasons import Reason
from schemas.seams import Messages, Outcome, Unparsed

T = TypeVar("T")

TEMPLATES = Path(__file__).parents[2] / "templates"
AGAIN = 1_000_000  # added to the sample of a second try, so that its key is no other sample's
SAMPLING = ("temperature", "top_p", "max_completion_tokens")


class OpenAI:
    """Asks many conversations at once and yields in input order."""

    def __init__(self, params: OpenAITeacherParams, store: Store | None = None, engine: Engine | None = None):
        self.params = params
        self.engine = engine or Engine("teacher", params, store)
        self.again = Template(TEMPLATES / "again.jinja", needs=("fault",))
        self.structured = Template(TEMPLATES / "structured.jinja")

    def map(
        self, conversations: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        return self.engine.map(conversations, lambda messages: self.ask(messages, parse, template, sample))

    @property
    def most_held(self) -> int:
        return self.engine.most_held

    def status(self) -> str:
        return self.engine.status()

    async def ask(self, messages: Messages, parse: Callable[[str], T], template: str | None, sample: int) -> Outcome[T]:
        fault = ""
        for _ in range(self.params.parse_attempts):
            bought = await self.engine.answer(self.body(messages, parse), sample)
            if bought.stored is None:
                return Outcome(reason=Reason.FAILED, detail=bought.why)
            (answer,) = read_answers(bought.stored)
            if self.params.retry_truncated and answer.reason in (Reason.TRUNCATED, Reason.EMPTY):
                again = await self.engine.answer(self.with_more_room(self.body(messages, parse)), sample + AGAIN)
                if again.stored is not None:
                    bought = again
                    (answer,) = read_answers(again.stored)
            by = self.by(bought, answer, template)
            if answer.reason:
                return Outcome(by=by, reason=answer.reason, detail=answer.detail[:500])
            try:
                return Outcome(value=parse(answer.text), by=by)
            except Unparsed as unparsed:
                fault = unparsed.detail
            if fault == REFUSAL:
                return Outcome(by=by, reason=Reason.REFUSED, detail=clean_reply(answer.text)[:500])
            messages = [
                *messages,
                {"role": "assistant", "content": answer.text},
                {"role": "user", "content": self.again.fill(fault=fault)},
            ]
        return Outcome(by=by, reason=read_reason(fault), detail=f"{fault} ({self.params.parse_attempts} answers)")

    def body(self, messages: Messages, parse: Callable) -> dict[str, Any]:
        """Return what is sent, and with it all that the answer depends on."""
        body: dict[str, Any] = {"model": self.params.model, "messages": messages}
        body |= {name: value for name in SAMPLING if (value := getattr(self.params, name)) is not None}
        if self.params.response_format == "json_schema" and isinstance(parse, Form):
            body["messages"] = [{"role": "system", "content": self.structured.fill()}, *messages]
            body["response_format"] = parse.response_format
        return body

    def with_more_room(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the same question with twice as many tokens for the answer, where they are limited at all."""
        limit = body.get("max_completion_tokens")
        return body | {"max_completion_tokens": 2 * limit} if limit else body

    def by(self, bought: StoredAnswer, answer: Answer, template: str | None) -> Provenance:
        revision = answer.model or self.params.model
        return Provenance(
            backend="openai", model=self.params.model, revision=revision, template=template, store_key=bought.key
        )
