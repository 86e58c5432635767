"""Seam `renderer`: a video generator that turns prompts into clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.backends import Outcome
from pipeline.clips import Clip
from schemas.base import Provenance, content_id
from schemas.params import World
from schemas.params_video import Render as RenderParams


@dataclass(frozen=True)
class RenderRequest:
    prompt: str
    seed: int


class Renderer(Protocol):
    """Cheap to make: weights are loaded at the first clip, since a run may find all clips in the store."""

    by: Provenance
    """Backend, model and revision; set before the first clip."""

    settings: dict
    """All that shapes a clip besides prompt and seed, JSON values only."""

    token_limit: int | None
    """Most tokens of a prompt that the generator reads; None where nobody knows."""

    def count_tokens(self, prompt: str) -> int:
        """Return the tokens of a prompt; asked only where there is a token_limit."""
        ...

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


def _diffusers(params: RenderParams, world: World) -> Renderer:
    from pipeline.backends.renderer.diffusers import Diffusers

    return Diffusers(params)


def _http(params: RenderParams, world: World) -> Renderer:
    from pipeline.backends.renderer.http import Http

    return Http(params)


def _command(params: RenderParams, world: World) -> Renderer:
    from pipeline.backends.renderer.command import Command

    return Command(params)


RENDERERS = {"offline": _offline, "diffusers": _diffusers, "http": _http, "command": _command}
SPREAD = {"offline", "diffusers"}
"""those that render themselves; a host has its own workers, and a program takes the GPUs that it likes"""


def make_renderer(params: RenderParams, world: World) -> Renderer:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs."""
    return RENDERERS[params.backend](params, world)
