"""Teachers that buy nothing: a stage asks them as it would ask the real one, and they note what it would cost."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import tee
from typing import Any, TypeVar

from pipeline.backends.teacher import make_teacher
from pipeline.backends.teacher.offline import task_of
from pipeline.backends.teacher.openai import OpenAI
from pipeline.llm.calls.answers import StoredAnswer
from pipeline.llm.calls.endpoint import base_url_of, host_of
from pipeline.llm.calls.engine import answer_key
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store
from schemas.base import content_id
from schemas.params import EndpointParams, TeacherParams
from schemas.params_teacher import OpenAITeacherParams
from schemas.seams import Messages, Outcome, Teacher

T = TypeVar("T")
R = TypeVar("R")
NOT_BOUGHT = "not bought yet"


@dataclass
class Asked:
    """The distinct calls that a stage would make: (task, characters sent) by key, and whether the store has them."""

    stored: dict[str, tuple[str, int]] = field(default_factory=dict)
    missing: dict[str, tuple[str, int]] = field(default_factory=dict)
    supposed: int = 0

    def by_task(self) -> tuple[Counter, Counter]:
        """Return the calls to buy and the characters they send, by task."""
        calls: Counter = Counter()
        characters: Counter = Counter()
        for task, sent in self.missing.values():
            calls[task] += 1
            characters[task] += sent
        return calls, characters


class Lookup:
    """Stands in for the engine: knows the very keys, has what the store has, and sends nothing. Needs no API key."""

    def __init__(self, params: EndpointParams, store: Store, asked: Asked, planned: set[str]):
        self.host, self.store, self.asked, self.planned = host_of(base_url_of(params)), store, asked, planned

    def map(self, items: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> Iterator[R]:
        for item in items:
            coroutine = ask(item)
            try:
                coroutine.send(None)
            except StopIteration as done:
                yield done.value
            else:
                raise RuntimeError("a question waited for something: a plan has nothing to wait for")

    async def answer(self, body: Mapping[str, Any], sample: int = 0) -> StoredAnswer:
        key = answer_key("teacher", self.host, body, sample)
        stored = self.store.get(key)
        if stored is None and key not in self.planned:
            self.asked.missing[key] = task(body["messages"]), sent(body)
        elif key not in self.asked.missing:
            self.asked.stored[key] = task(body["messages"]), sent(body)
        self.planned.add(key)
        return StoredAnswer(key, stored, "" if stored else NOT_BOUGHT)


class Planned:
    """The teacher of `params` as far as the store goes; `suppose(sample)` fills in for what is not bought yet.

    `planned` are keys that stages before have asked for: they will be in the store. A teacher that costs nothing
    answers itself and is counted.
    """

    def __init__(self, params: TeacherParams, world, store: Store, planned: set[str], suppose: Callable[[int], Any]):
        self.asked, self.suppose = Asked(), suppose
        self.teacher: Teacher
        if isinstance(params, OpenAITeacherParams):
            self.teacher = OpenAI(params, store, Lookup(params, store, self.asked, planned))
        else:
            self.teacher = Counted(make_teacher(params, world), self.asked)

    def map(
        self, asked: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        for outcome in self.teacher.map(asked, parse, template, sample):
            if outcome.detail == NOT_BOUGHT and (value := self.suppose(sample)) is not None:
                self.asked.supposed += 1
                outcome = Outcome(value=value)
            yield outcome

    def status(self) -> str:
        return ""


class Counted:
    """Notes what a teacher that costs nothing is asked."""

    def __init__(self, teacher: Teacher, asked: Asked):
        self.teacher, self.asked = teacher, asked

    def map(self, asked, parse, template=None, sample=0):
        passed, noted = tee(asked)
        for messages, outcome in zip(noted, self.teacher.map(passed, parse, template, sample), strict=True):
            self.asked.missing[content_id(messages, sample)] = task(messages), sent({"messages": messages})
            yield outcome


def task(messages: Messages) -> str:
    """Return which task the messages set: recheck, fewshot, critique or refine, or "again" for a second try at one."""
    try:
        return task_of(messages)
    except DataError:
        return "again"


def sent(body: Mapping[str, Any]) -> int:
    """Return the characters of a request's messages."""
    return sum(len(message["content"]) for message in body["messages"])
