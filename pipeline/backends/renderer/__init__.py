"""Seam `renderer`: a video generator that turns prompts into clips."""

from pipeline.video.rendering import video_id as video_id
from schemas.params import WorldParams
from schemas.params_video import RenderParams
from schemas.seams import Renderer


def _offline(params: RenderParams, world: WorldParams) -> Renderer:
    from pipeline.backends.renderer.offline import Offline

    return Offline(params, world)


def _diffusers(params: RenderParams, world: WorldParams) -> Renderer:
    from pipeline.backends.renderer.diffusers import Diffusers

    return Diffusers(params)


def _http(params: RenderParams, world: WorldParams) -> Renderer:
    from pipeline.backends.renderer.http import Http

    return Http(params)


def _command(params: RenderParams, world: WorldParams) -> Renderer:
    from pipeline.backends.renderer.command import Command

    return Command(params)


RENDERERS = {"offline": _offline, "diffusers": _diffusers, "http": _http, "command": _command}
SPREAD = {"offline", "diffusers"}
"""those that render themselves; a host has its own workers, and a program takes the GPUs that it likes"""


def make_renderer(params: RenderParams, world: WorldParams) -> Renderer:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs."""
    return RENDERERS[params.backend](params, world)
