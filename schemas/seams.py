"""The four seams on one page: teacher, policy, renderer, reward model, and what goes in and out of each.

Each maps a stream to a stream of Outcomes in input order. Backends stand in `pipeline/backends/`, one folder a seam.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from schemas.base import Provenance, QueryBase
from schemas.needs import Needs
from schemas.params import SamplingParams
from schemas.reasons import Reason
from schemas.reward import Answer, Dimension

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """A result and who made it, or a typed reason why there is none."""

    value: T | None = None
    by: Provenance | None = None
    reason: Reason | None = None
    detail: str = ""


class Unparsed(Exception):
    """Raised by a `parse` that finds no usable answer in a reply; `detail` is a short code."""

    def __init__(self, detail: str):
        super().__init__(detail)
        self.detail = detail


Messages = list[dict[str, str]]
"""[{"role": "system" | "user" | "assistant", "content": text}, ...]"""


class Teacher(Protocol):
    """An LLM that answers messages. The judge is a second instance of the same seam."""

    def map(
        self, conversations: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        """Yield one Outcome for each of `conversations`, in order.

        `parse` turns the reply's text into a value or raises Unparsed; an unparsed answer is asked again a set number
        of times. `template` is the hash of the words that were filled in; it goes into the key and the provenance.
        """
        ...

    def status(self) -> str:
        """Return what to show of the money while it runs; "" where nothing is paid."""
        ...


class Policy(Protocol):
    """The model we train, writing prompts for queries."""

    def map(self, queries: Iterable[QueryBase], k: int, sampling: SamplingParams, seed: int) -> Iterator[Outcome[str]]:
        """Yield k Outcomes for each query, query by query, sample by sample.

        The draw of a sample depends on (seed, query_id, sample index) alone, not on what is sampled beside it.
        """
        ...

    def status(self) -> str:
        """Return what to show of the money while it runs; "" where nothing is paid."""
        ...


@dataclass(frozen=True)
class RenderRequest:
    """One clip to make."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Clip:
    """An mp4 file in memory and what is known about it; height and width in pixels."""

    content: bytes
    n_frames: int
    height: int
    width: int
    frames_per_second: float
    frames_hash: str
    n_tokens: int | None = None
    truncated: bool = False


class Renderer(Protocol):
    """A video generator. Cheap to make: weights are loaded at the first clip, since all clips may be in the store."""

    @property
    def by(self) -> Provenance:
        """Backend, model and revision; set before the first clip."""
        ...

    @property
    def needs(self) -> Needs:
        """What its params class declares."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """All that shapes a clip besides prompt and seed, JSON values only."""
        ...

    @property
    def token_limit(self) -> int | None:
        """Most tokens of a prompt that the generator reads; None where nobody knows."""
        ...

    def count_tokens(self, prompt: str) -> int:
        """Return the tokens of a prompt; asked only where there is a token_limit."""
        ...

    def map(self, requests: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        """Yield one Outcome for each request, in order: a clip, or render_failed, over_token_limit, ..."""
        ...


@dataclass(frozen=True)
class ScoreRequest:
    """A clip's bytes (mp4) and the text that it is scored against; a reward model sees nothing else."""

    clip: bytes
    text: str


@dataclass(frozen=True)
class Scores:
    """What one model says about one clip, uncombined: answers of a checklist or values by dimension."""

    answers: tuple[Answer, ...] = ()
    dims: tuple[Dimension, ...] = ()
    truncated: bool | None = None
    """Whether the model cut the text; None where its reading has no limit."""


class RewardModel(Protocol):
    """A model that scores a clip against a text. Cheap to make: weights are loaded at the first clip."""

    @property
    def by(self) -> Provenance:
        """Backend, model and revision; the revision covers the question file and the frames that are looked at."""
        ...

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        """Yield one Outcome for each item, in order: scores, or bad_clip, no_score, ..."""
        ...
