"""Seam `renderer`: a video generator that turns prompts into clips."""

from collections.abc import Callable
from typing import Any

from pipeline.backends.renderer.command import Command
from pipeline.backends.renderer.diffusers import Diffusers
from pipeline.backends.renderer.http import Http
from pipeline.backends.renderer.offline import Offline
from schemas.params import RenderParams, WorldParams
from schemas.seams import Renderer

RENDERERS: dict[str, Callable[[Any, WorldParams], Renderer]] = {
    "offline": Offline,
    "diffusers": lambda params, world: Diffusers(params),
    "http": lambda params, world: Http(params),
    "command": lambda params, world: Command(params),
}
"""what makes a backend of its params class (schemas/params_render.py), by name"""


def make_renderer(params: RenderParams, world: WorldParams) -> Renderer:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs."""
    return RENDERERS[params.backend](params, world)
