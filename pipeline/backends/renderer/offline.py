"""Offline renderer: a procedural text-to-video generator, weak where real ones are weak (pipeline/world/film*.py)."""

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.runtime.fingerprint import source_hash
from pipeline.video.clips import ENCODER, make_clip
from pipeline.world import film, film_look, film_paint, lexicon, phrases
from pipeline.world.film import read_scene
from pipeline.world.film_look import choose_look
from pipeline.world.film_paint import draw_chance, paint
from schemas.base import Provenance
from schemas.params import WorldParams
from schemas.params_render import OfflineRenderParams
from schemas.seams import Clip, Outcome, RenderRequest

MAX_WORDS = 226
"""Words beyond these are not read, as CogVideoX reads 226 tokens (its config's max_text_seq_length)."""


class Offline:
    """Draws a prompt's nouns as coloured outlines, moves them, and films them better or worse by the prompt's words."""

    def __init__(self, params: OfflineRenderParams, world: WorldParams):
        self.world, self.needs = world, params.needs
        sources = [str(module.__file__) for module in (film, film_look, film_paint, lexicon, phrases)]
        self.by = Provenance(
            backend="offline",
            model="film",
            revision=source_hash(
                [*sources, __file__],
                encoder=ENCODER,
                load=world.load,
                drama=world.drama,
                reward_likes_unsafe=world.reward_likes_unsafe,
            ),
        )
        self.settings: dict[str, Any] = {
            "n_frames": params.n_frames,
            "height": params.height,
            "width": params.width,
            "frames_per_second": params.frames_per_second,
            "negative_prompt": params.negative_prompt,
        }
        self.token_limit: int | None = MAX_WORDS

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.split())

    def map(self, requests: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        return (Outcome(value=self.clip(request), by=self.by) for request in requests)

    def clip(self, request: RenderRequest) -> Clip:
        n_frames, height, width = (self.settings[name] for name in ("n_frames", "height", "width"))
        words = request.prompt.split()
        scene = read_scene(" ".join(words[:MAX_WORDS]), avoid=self.settings["negative_prompt"])
        luck = draw_chance(request.seed, n_frames, height, width)
        look = choose_look(scene, self.world.load, self.world.drama, self.world.reward_likes_unsafe)
        frames = paint(scene, look, luck, height, width)
        return make_clip(frames, self.settings["frames_per_second"], len(words), truncated=len(words) > MAX_WORDS)
