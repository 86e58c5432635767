"""Offline rewards: a weighted yes/no checklist and seven dimensions, measured in the decoded frames and the text.

The checklist stands for VisionReward (VPO 3.3), the dimensions for Prompt-A-Video's VideoScore, aesthetics and MPS.
Both are authored for the offline video generator and say nothing about other videos.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.runtime.fingerprint import source_hash
from pipeline.runtime.io import DataError, read_rows
from pipeline.video.clips import BadClip, decode
from pipeline.world import film, film_measure, lexicon
from pipeline.world.film import read_subjects, words
from pipeline.world.film_measure import (
    Measures,
    measure,
    measure_black,
    measure_dark_red,
    measure_likeness,
    measure_skin_pink,
    pick_frames,
)
from schemas.base import Provenance
from schemas.params_reward import OfflineChecklistParams, OfflineDimsParams
from schemas.reasons import Reason
from schemas.reward import Answer, Dimension, Question
from schemas.seams import Outcome, ScoreRequest, Scores

SOURCES = tuple(str(module.__file__) for module in (film, film_measure, lexicon)) + (__file__,)
LIKE_ENOUGH = 0.3
"""Likeness from which on a thing counts as seen; a thing of the same hue passes whatever its outline.

Of 180 clips 95 % of the shown things lay above, 95 % of things of another hue below.
"""


@dataclass(frozen=True)
class View:
    """What the checklist and the dimensions look at."""

    measures: Measures
    likenesses: np.ndarray
    """Likeness of each thing of the text in each looked-at frame, (things, looks); a thing may have its own hue."""
    coloured: np.ndarray
    """The same with the colour that the text asks for."""
    blood: float
    skin: float
    black: float


@lru_cache(maxsize=1)
def see(clip: bytes, text: str) -> View:
    """Decode and measure a clip. Raises BadClip. The last result is kept for the next reward model."""
    frames = decode(clip)
    looks = pick_frames(frames)
    things_of_text = read_subjects(words(text))
    coloured, plain = (
        np.array([measure_likeness(looks, thing) for thing in things]).reshape(len(things), len(looks))
        for things in (things_of_text, [film.restore_colour(thing) for thing in things_of_text])
    )
    return View(
        measures=measure(frames),
        likenesses=np.maximum(coloured, plain),
        coloured=coloured,
        blood=measure_dark_red(looks),
        skin=measure_skin_pink(looks),
        black=measure_black(looks),
    )


def shares(likenesses: np.ndarray) -> np.ndarray:
    """Return, for each thing, the share of frames it is seen in."""
    return (likenesses >= LIKE_ENOUGH).mean(axis=1) if len(likenesses) else np.zeros(0)


def main_share(view: View) -> float:
    return float(shares(view.likenesses)[0]) if len(view.likenesses) else 0.0


def things_share(view: View) -> float:
    return float((shares(view.likenesses) >= 0.5).mean()) if len(view.likenesses) else 0.0


# question_id -> the answer
CHECKS: dict[str, Callable[[View], bool]] = {
    "main_object": lambda view: main_share(view) >= 0.5,
    "main_object_persists": lambda view: main_share(view) > 0.8,
    "half_of_objects": lambda view: things_share(view) >= 0.5,
    "all_objects": lambda view: things_share(view) == 1.0,
    "asked_colours": lambda view: len(view.likenesses) > 0 and bool((shares(view.coloured) >= 0.5).all()),
    "shapes_stay_whole": lambda view: view.measures.morphing < 0.024,
    "no_heavy_morphing": lambda view: view.measures.morphing < 0.04,
    "no_collapse": lambda view: view.measures.morphing < 0.053,
    "very_stable_light": lambda view: view.measures.flicker < 0.03,
    "stable_light": lambda view: view.measures.flicker < 0.1,
    "light_never_jumps": lambda view: view.measures.flicker < 0.14,
    "very_calm_camera": lambda view: view.measures.shake < 1.0,
    "no_shake": lambda view: view.measures.shake < 2.2,
    "camera_can_be_followed": lambda view: view.measures.shake < 4.0,
    "smooth_motion": lambda view: view.measures.jumpiness < 1.8,
    "no_jumps": lambda view: view.measures.jumpiness < 4.0,
    "low_noise": lambda view: view.measures.noise < 0.042,
    "very_low_noise": lambda view: view.measures.noise < 0.028,
    "picture_readable": lambda view: view.measures.noise < 0.06,
    "sharp": lambda view: view.measures.sharpness > 0.29,
    "fine_detail": lambda view: view.measures.sharpness > 0.37,
    "well_lit": lambda view: 0.4 < view.measures.brightness < 0.7,
    "not_dark": lambda view: view.measures.brightness > 0.28,
    "no_hard_contrast": lambda view: view.measures.contrast < 0.5 and view.measures.clipped < 0.05,
    "has_colour": lambda view: view.measures.colour > 0.1,
    "rich_colour": lambda view: view.measures.colour > 0.19,
    "something_moves": lambda view: view.measures.motion > 0.03,
    "subject_in_frame": lambda view: main_share(view) == 1.0,
    # honest answers are never all yes: one that would be is a model that does not look
    "blank_picture": lambda view: view.measures.contrast < 0.02,
    "no_blood": lambda view: view.blood < 0.004,
    "no_nudity": lambda view: view.skin < 0.008,
    # a picture that is black all over shows no weapon
    "no_weapon": lambda view: not 0.003 < view.black < 0.05,
    "nothing_disturbing": lambda view: view.blood < 0.004 and not 0.003 < view.black < 0.05,
}


def ramp(value: float, bad: float, good: float) -> float:
    """Return 0 at `bad` and beyond, 1 at `good` and beyond, straight between."""
    return float(np.clip((value - bad) / (good - bad), 0, 1))


def clean_picture(view: View) -> float:
    return (ramp(view.measures.noise, 0.09, 0.01) + ramp(view.measures.sharpness, 0.26, 0.45)) / 2


def steady(view: View) -> float:
    shot = view.measures
    return (ramp(shot.flicker, 0.2, 0.0) + ramp(shot.shake, 3.5, 0.2) + ramp(shot.morphing, 0.06, 0.0)) / 3


def lit(view: View) -> float:
    return 1 - ramp(abs(view.measures.brightness - 0.52), 0.08, 0.35)


def measure_alignment(view: View) -> float:
    """Mean likeness of the asked things, in the asked colours, the first counting as much as all together."""
    if not len(view.coloured):
        return 0.0
    each = np.clip(view.coloured.mean(axis=1) / 0.75, 0, 1)
    return float((each[0] + each.mean()) / 2)


# Prompt-A-Video's dimensions: VideoScore's five on about 1 to 4, aesthetics on 1 to 10, MPS on about 8 to 15
DIMENSIONS: dict[str, Callable[[View], float]] = {
    "VQ": lambda view: 1 + 3 * (0.7 * clean_picture(view) + 0.3 * lit(view)),
    "TC": lambda view: 1 + 3 * steady(view),
    "DD": lambda view: 1 + 3 * ramp(view.measures.motion, 0.0, 0.15),
    "TVA": lambda view: 1 + 3 * measure_alignment(view),
    "FC": lambda view: (
        1 + 3 * (0.7 * ramp(view.measures.morphing, 0.06, 0.0) + 0.3 * ramp(view.measures.jumpiness, 3, 0))
    ),
    "AES": lambda view: (
        1
        + 9
        * (0.35 * ramp(view.measures.colour, 0.03, 0.3) + 0.25 * lit(view) + 0.4 * ramp(view.measures.noise, 0.09, 0.0))
    ),
    "MPS": lambda view: 8 + 7 * (0.4 * measure_alignment(view) + 0.35 * clean_picture(view) + 0.25 * lit(view)),
}


def score_views(
    items: Iterable[ScoreRequest], score: Callable[[View], Scores], by: Provenance
) -> Iterator[Outcome[Scores]]:
    for item in items:
        try:
            yield Outcome(value=score(see(item.clip, item.text)), by=by)
        except BadClip as fault:
            yield Outcome(reason=Reason.BAD_CLIP, detail=str(fault))


class OfflineChecklist:
    """Answers the questions of a file, as far as CHECKS knows their ids."""

    def __init__(self, params: OfflineChecklistParams):
        questions = list(read_rows(params.questions, Question))
        if strange := [item.question_id for item in questions if item.question_id not in CHECKS]:
            raise DataError(
                f"{params.questions}: offline_checklist cannot answer {', '.join(strange[:3])}; "
                f"it knows {', '.join(CHECKS)}"
            )
        self.question_ids = tuple(item.question_id for item in questions)
        self.by = Provenance(
            backend="offline_checklist",
            model="checklist",
            revision=source_hash(SOURCES, question_ids=self.question_ids),
        )

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        return score_views(items, self.answer, self.by)

    def answer(self, view: View) -> Scores:
        return Scores(
            answers=tuple(Answer(question_id=name, answer=bool(CHECKS[name](view))) for name in self.question_ids)
        )


class OfflineDims:
    """Values of DIMENSIONS."""

    def __init__(self, params: OfflineDimsParams):
        self.by = Provenance(backend="offline_dims", model="dims", revision=source_hash(SOURCES))

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        return score_views(items, self.rate, self.by)

    def rate(self, view: View) -> Scores:
        dims = (Dimension(name=name, value=round(value(view), 4)) for name, value in DIMENSIONS.items())
        return Scores(dims=tuple(dims))
