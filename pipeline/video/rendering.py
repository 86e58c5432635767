"""Prompts to clips through a renderer, each bought once: what the store has is taken, the rest is made and kept.

Nothing here knows a backend: it is handed in, as the Protocol of its seam.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from pipeline.runtime.fanout import fan_out
from pipeline.runtime.paid_once import buy_missing
from pipeline.runtime.speeds import count_at_once, describe_work, speeds_folder, time_outcomes
from pipeline.video.clips import ClipStore
from schemas.base import Prompt, content_id
from schemas.reasons import Reason
from schemas.render import Render
from schemas.seams import Clip, Outcome, Renderer, RenderRequest

Facts = dict[str, Any]
"""What is known of a stored clip: its video_id, hashes, size, rate and tokens, as ClipStore keeps them"""


class ClipRequest(NamedTuple):
    """A clip to make: for which row, what the generator is asked for, and the index among clips of one prompt."""

    row: Prompt
    request: RenderRequest
    replicate: int = 0


class Rendering(NamedTuple):
    """A renderer, and how each worker builds its own where it works."""

    renderer: Renderer
    make: Callable[[], Renderer]


def video_id(renderer: Renderer, request: RenderRequest) -> str:
    """Return the id of the clip that `renderer` would make, known before it is made."""
    by = renderer.by
    return content_id(request.prompt, by.backend, by.model, by.revision, renderer.settings, request.seed)


def video_id_of(row: Render) -> str:
    """Return the id that a manifest's row must have, by what it says of its clip."""
    by, text = row.rendered_by, row.prompt if row.rendered_text is None else row.rendered_text
    return content_id(text, by.backend, by.model, by.revision, json.loads(row.settings), row.seed)


def clip_seed(seed: int, query_id: str, replicate: int = 0) -> int:
    """Return the seed of a query's clips, 0 to 2**31 - 1: the same for sibling prompts and for all arms."""
    return int(content_id("clip seed", seed, query_id, replicate), 16) % 2**31


def render_clips(
    requests: Iterable[ClipRequest], rendering: Rendering, clips: ClipStore
) -> Iterator[tuple[ClipRequest, Outcome[Facts]]]:
    """Yield each request with the facts of its clip, from `clips` where it was rendered before, or a reason."""
    renderer = rendering.renderer

    def look_up(item: ClipRequest) -> Outcome[Facts] | None:
        facts = clips.get(video_id(renderer, item.request))
        return Outcome(value=facts) if facts else None

    def keep(item: ClipRequest, outcome: Outcome[Clip]) -> Outcome[Facts]:
        if outcome.value is None:
            return Outcome(reason=outcome.reason or Reason.RENDER_FAILED, detail=outcome.detail)
        return Outcome(value=clips.put(video_id(renderer, item.request), outcome.value))

    work, folder = describe_work("render", renderer.by, renderer.settings), speeds_folder(clips.store.root)

    def buy(missing: Iterator[ClipRequest]) -> Iterator[Outcome[Facts]]:
        made = fan_out(rendering.make, missing, lambda item: item.request, keep, spreads=renderer.needs.spreads)
        return time_outcomes(made, work, folder, count_at_once(renderer), device=renderer.needs.device)

    return buy_missing(requests, look_up, buy)
