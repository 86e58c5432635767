"""Seam `teacher`: an LLM that answers messages. The judge is a second instance of the same seam."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from pipeline.backends import Outcome
from schemas.params import Teacher as TeacherParams

T = TypeVar("T")
Messages = list[dict[str, str]]
"""[{"role": "system" | "user" | "assistant", "content": text}, ...]"""


class Teacher(Protocol):
    def map(
        self, asked: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        """Yield one Outcome for each element of `asked`, in order.

        `parse` turns the reply's text into a value or raises Unparsed; an unparsed answer is asked again a set number
        of times. `template` is the hash of the words that were filled in; it goes into the key and the provenance.
        """
        ...

    def status(self) -> str:
        """Return what to show of the money while it runs; "" where nothing is paid."""
        ...


def make_teacher(params: TeacherParams, world) -> Teacher:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs."""
    if params.backend == "offline":
        from pipeline.backends.teacher.offline import Offline

        return Offline(params, world)
    from pipeline.backends.teacher.openai import OpenAI

    return OpenAI(params)
