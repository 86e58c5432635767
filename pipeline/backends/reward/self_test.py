"""Does a scorer look? Before its first clip it rates a good and a spoilt one, and must not say the same of both.

Ours: weights that were not loaded, a program that answers without the frames, or a model that says yes to everything
rate thousands of clips without a fault, and the pairs made of them are noise.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from pipeline.runtime.io import DataError
from pipeline.scoring.soundness import refuse_unsound
from pipeline.video.clips import encode
from schemas.base import Provenance
from schemas.seams import Outcome, RewardModel, ScoreRequest, Scores

TEXT = "a red ball rolls over a green meadow under a blue sky"
N, SIDE, FRAMES_PER_SECOND = 8, 48, 8
SHUFFLED = (5, 0, 6, 2, 7, 1, 4, 3)


class Looking:
    """A reward model that shows once, before its first clip, that it looks."""

    def __init__(self, backend: RewardModel):
        self.backend, self.looks = backend, False

    @property
    def by(self) -> Provenance:
        return self.backend.by

    @property
    def at_once(self) -> int:
        return getattr(self.backend, "at_once", 1)

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        items = iter(items)
        # where nothing is left to score, nothing is loaded either
        for first in items:
            if not self.looks:
                must_look(self.backend)
                self.looks = True
            yield from self.backend.map(chain([first], items))


def must_look(backend: RewardModel) -> None:
    """Raise DataError when all answers and values for a good and for a spoilt clip of one text are exactly alike.

    A model that has no score for either will have none for others.
    """
    good = good_frames()
    clips = [encode(frames, FRAMES_PER_SECOND) for frames in (good, spoilt(good))]
    outcomes = [refuse_unsound(outcome) for outcome in backend.map([ScoreRequest(clip, TEXT) for clip in clips])]
    who, (of_good, of_spoilt) = f"{backend.by.backend} {backend.by.model}", [outcome.value for outcome in outcomes]
    if of_good is None and of_spoilt is None:
        raise DataError(
            f"{who} could score neither a good nor a spoilt clip that it was tried on: {outcomes[0].detail}"
        )
    if of_good is not None and of_good == of_spoilt:
        raise DataError(
            f"{who} says the same of a good and of a spoilt clip: {brief(of_good)}; it does not look. "
            "Are its weights complete, and does it get the frames?"
        )


def good_frames() -> np.ndarray:
    """Draw TEXT: uint8 RGB (8, 48, 48, 3)."""
    y, x = np.mgrid[0:SIDE, 0:SIDE][:, :, :, None] / SIDE
    sky = np.array([90, 160, 220]) + 60 * y
    meadow = np.array([40, 150, 50]) + 50 * (y - 0.5)
    ground = np.where(y < 0.5, sky, meadow)
    frames = []
    for number in range(N):
        away = np.hypot(x - (0.2 + 0.6 * number / (N - 1)), y - 0.55)
        frames.append(np.where(away < 0.15, np.array([220, 30, 30]) * (1 - 2 * away), ground))
    return np.stack(frames).round().astype(np.uint8)


def spoilt(frames: np.ndarray) -> np.ndarray:
    """Return the frames out of order, noisy and dark."""
    noise = np.random.default_rng(0).normal(0, 40, frames.shape)
    return np.clip(0.4 * (frames[list(SHUFFLED)] + noise), 0, 255).astype(np.uint8)


def brief(scores: Scores) -> str:
    """Return the first five answers and values as words."""
    words = [f"{item.question_id} {'yes' if item.answer else 'no'}" for item in scores.answers]
    words += [f"{item.name} {item.value:g}" for item in scores.dims]
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")
