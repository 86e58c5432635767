"""Teachers that buy nothing: a stage asks them as it would ask the real one, and they note what it would cost."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import tee
from typing import Any, TypeVar, cast

from pipeline.backends.teacher import make_teacher
from pipeline.backends.teacher.offline import task_of
from pipeline.backends.teacher.openai import OpenAI
from pipeline.llm.calls.answers import StoredAnswer
from pipeline.llm.calls.endpoint import base_url_of, host_of
from pipeline.llm.calls.engine import Engine, answer_key
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store
from schemas.base import content_id
from schemas.params import EndpointParams, TeacherParams, WorldParams
from schemas.params_teacher import OpenAITeacherParams
from schemas.seams import Messages, Outcome, Teacher

T = TypeVar("T")
R = TypeVar("R")
NOT_BOUGHT = "not bought yet"


def is_paid(section: TeacherParams) -> bool:
    """Return whether the answers of a section's backend are bought, as its params class declares."""
    return section.needs.paid_by is not None


@dataclass
class Calls:
    """The distinct calls that a stage would make: (task, characters sent) by key, and whether the store has them.

    `supposed` are answers that nobody gave, filled in so that the stage goes on.
    """

    stored: dict[str, tuple[str, int]] = field(default_factory=dict)
    missing: dict[str, tuple[str, int]] = field(default_factory=dict)
    supposed: int = 0


class Lookup:
    """Stands in for the engine: knows the very keys, has what the store has, and sends nothing. Needs no API key."""

    def __init__(self, params: EndpointParams, store: Store, calls: Calls, planned: set[str]):
        self.host, self.store, self.calls, self.planned = host_of(base_url_of(params)), store, calls, planned

    def map(self, items: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> Iterator[R]:
        """Yield what `ask` returns for each item, in order; it must not wait for anything."""
        for item in items:
            coroutine: Any = ask(item)
            try:
                coroutine.send(None)
            except StopIteration as done:
                yield done.value
            else:
                raise RuntimeError("a question waited for something: a plan has nothing to wait for")

    async def answer(self, body: Mapping[str, Any], sample: int = 0) -> StoredAnswer:
        """Return the stored answer to a request, else one that says that it is not bought; note the call."""
        key = answer_key("teacher", self.host, body, sample)
        stored = self.store.get(key)
        call = task(body["messages"]), n_characters(body["messages"])
        if stored is None and key not in self.planned:
            self.calls.missing[key] = call
        elif key not in self.calls.missing:
            self.calls.stored[key] = call
        self.planned.add(key)
        return StoredAnswer(key, stored, "" if stored else NOT_BOUGHT)


class Planned:
    """The teacher of `params` as far as the store goes; `suppose(sample)` fills in for what is not bought yet.

    `planned` are keys that stages before have asked for: they will be in the store. A teacher that costs nothing
    answers itself and is counted.
    """

    def __init__(
        self,
        params: TeacherParams,
        world: WorldParams,
        store: Store,
        planned: set[str],
        suppose: Callable[[int], Any],
    ):
        self.calls, self.suppose = Calls(), suppose
        self.teacher: Teacher
        if isinstance(params, OpenAITeacherParams):
            # it has the two methods of an Engine that the backend calls
            engine = cast("Engine", Lookup(params, store, self.calls, planned))
            self.teacher = OpenAI(params, store, engine)
        else:
            self.teacher = Counted(make_teacher(params, world), self.calls)

    def map(
        self, conversations: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        """Yield the Outcome of each, as seam `teacher` says; of what is not bought yet, what is supposed."""
        for outcome in self.teacher.map(conversations, parse, template, sample):
            if outcome.detail == NOT_BOUGHT and (value := self.suppose(sample)) is not None:
                self.calls.supposed += 1
                outcome = Outcome(value=value)
            yield outcome

    def status(self) -> str:
        """Return "": nothing is paid."""
        return ""


class Counted:
    """Notes what a teacher that costs nothing is asked."""

    def __init__(self, teacher: Teacher, calls: Calls):
        self.teacher, self.calls = teacher, calls

    def map(
        self, conversations: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        """Yield the teacher's Outcomes, in order."""
        passed, noted = tee(conversations)
        for messages, outcome in zip(noted, self.teacher.map(passed, parse, template, sample), strict=True):
            self.calls.missing[content_id(messages, sample)] = task(messages), n_characters(messages)
            yield outcome

    def status(self) -> str:
        """Return "": nothing is paid."""
        return ""


def task(messages: Messages) -> str:
    """Return which task the messages set: recheck, fewshot, critique or refine, or "again" for a second try at one."""
    try:
        return task_of(messages)
    except DataError:
        return "again"


def n_characters(messages: Messages) -> int:
    """Return the characters of a request's messages."""
    return sum(len(message["content"]) for message in messages)
