"""Seam `renderer`: a video generator that turns prompts into clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.backends import Outcome
from pipeline.clips import Clip
from schemas.base import Provenance, content_id
from schemas.params import Render as RenderParams
from schemas.params import World


@dataclass(frozen=True)
class RenderRequest:
    prompt: str
    seed: int


class Renderer(Protocol):
    by: Provenance
    """Backend, model and revision; set before the first clip."""

    settings: dict
    """All that shapes a clip besides prompt and seed, JSON values only."""

    def map(self, asked: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        """Yield one Outcome for each request, in order: a clip, or render_failed, over_token_limit, ..."""
        ...


def video_id(renderer: Renderer, request: RenderRequest) -> str:
    """Return the id of the clip that `renderer` would make, known before it is made."""
    by = renderer.by
    return content_id(request.prompt, by.backend, by.model, by.revision, renderer.settings, request.seed)


def _offline(params: RenderParams, world: World) -> Renderer:
    from pipeline.backends.renderer.offline import Offline

    return Offline(params, world)


RENDERERS = {"offline": _offline}


def make_renderer(params: RenderParams, world: World) -> Renderer:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs."""
    return RENDERERS[params.backend](params, world)
