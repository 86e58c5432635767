"""The id of a clip, known before it is made."""

from schemas.base import content_id
from schemas.seams import Renderer, RenderRequest


def video_id(renderer: Renderer, request: RenderRequest) -> str:
    """Return the id of the clip that `renderer` would make, known before it is made."""
    by = renderer.by
    return content_id(request.prompt, by.backend, by.model, by.revision, renderer.settings, request.seed)
