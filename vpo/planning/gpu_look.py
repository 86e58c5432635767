"""Stages render and reward run with these over the rows that are there: they look, and nothing is made."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.runtime.io import DataError
from pipeline.video.clips import ClipStore, Place
from pipeline.video.rendering import video_id
from schemas.base import Prompt, Provenance
from schemas.needs import Needs
from schemas.params_render import RenderParams
from schemas.reasons import Reason
from schemas.render import Render
from schemas.seams import Clip, Outcome, Renderer, RenderRequest

NOT_RENDERED, ELSEWHERE = "not rendered yet", "a stage before renders it"


@dataclass
class Clips:
    """What stage render will leave: rows of clips that are there, ids of those to come, and how many more."""

    rows: Sequence[Render] = ()
    coming: Sequence[str] = ()
    unknown: float = 0.0

    def __len__(self) -> int:
        return len(self.rows) + len(self.coming)


@dataclass
class Looker:
    """Stands in for a renderer: notes the clips that it would make; `planned` are those that stages before make."""

    renderer: Renderer
    planned: set[str]
    coming: list[str] = field(default_factory=list)

    @property
    def by(self) -> Provenance:
        return self.renderer.by

    @property
    def needs(self) -> Needs:
        return self.renderer.needs

    @property
    def settings(self) -> dict[str, Any]:
        return self.renderer.settings

    @property
    def token_limit(self) -> int | None:
        return self.renderer.token_limit

    def count_tokens(self, prompt: str) -> int:
        return self.renderer.count_tokens(prompt)

    def map(self, requests: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        """Yield for each request that nothing is rendered, and why."""
        for request in requests:
            key = video_id(self.renderer, request)
            self.coming.append(key)
            yield Outcome(reason=Reason.RENDER_FAILED, detail=ELSEWHERE if key in self.planned else NOT_RENDERED)
            self.planned.add(key)


class Unmade:
    """A renderer that cannot be made on this machine: no clip of it is known."""

    token_limit: int | None = None

    def __init__(self, params: RenderParams):
        self.by = Provenance(backend=params.backend, model=params.model_dump().get("model") or "", revision="")
        self.settings: dict[str, Any] = {"unmade": True}
        self.needs = params.needs

    def count_tokens(self, prompt: str) -> int:
        raise DataError(f"renderer {self.by.backend} cannot be made on this machine, so it counts no tokens")

    def map(self, requests: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        raise DataError(f"renderer {self.by.backend} cannot be made on this machine")


class ClipNames(ClipStore):
    """The clips of a store by name alone: a plan does not read and hash them all."""

    def get(self, key: str) -> dict | None:
        facts = self.store.get(key)
        return facts if facts and self.path(key).is_file() else None

    def places(self, facts: Sequence[dict]) -> dict[str, Place]:
        """Return the sizes of clips as if they lay in a shard."""
        return {item["video_id"]: Place("", 0, self.path(item["video_id"]).stat().st_size or 1) for item in facts}


@dataclass
class Lane:
    """What a lane's render stage would make: prompts whose first clip is missing, clips that are there."""

    missing: Sequence[Prompt]
    rows: Sequence[Render]
