"""Seam `reward`: a model that scores a clip against a text; it sees the clip's bytes and the text, nothing else."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Protocol

from pipeline.backends import Outcome
from schemas.base import Provenance
from schemas.params import World
from schemas.params_video import RewardModel
from schemas.reasons import Reason
from schemas.reward import Answer, Dimension


@dataclass(frozen=True)
class ScoreRequest:
    clip: bytes
    text: str


@dataclass(frozen=True)
class Scores:
    """What one model says about one clip, uncombined: answers of a checklist or values by dimension."""

    answers: tuple[Answer, ...] = ()
    dims: tuple[Dimension, ...] = ()
    truncated: bool | None = None
    """Whether the model cut the text; None where its reading has no limit."""


class Reward(Protocol):
    """Cheap to make: weights are loaded at the first clip."""

    by: Provenance
    """Backend, model and revision; the revision covers the question file and the frames that are looked at."""

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        """Yield one Outcome for each item, in order: scores, or bad_clip, no_score, ..."""
        ...


def sound(outcome: Outcome[Scores]) -> Outcome[Scores]:
    """Return the outcome, without its scores where no formula may read them: none at all, or one that is no number."""
    said = outcome.value
    if said is None:
        return outcome
    values = [(item.name, item.value) for item in said.dims]
    values += [(item.question_id, item.p_yes) for item in said.answers if item.p_yes is not None]
    odd = [f"{name} is {value}" for name, value in values if not isfinite(value)]
    if not said.answers and not said.dims:
        odd = ["the model gave neither answers nor dimensions"]
    return Outcome(by=outcome.by, reason=Reason.NO_SCORE, detail=", ".join(odd[:5])) if odd else outcome


def backends(world: World) -> dict[str, Callable[[RewardModel], Reward]]:
    """Return what makes a backend, by its name; imported here, since each of these modules imports this one."""
    from pipeline.backends.reward.aesthetic import aesthetic
    from pipeline.backends.reward.checklist import Checklist
    from pipeline.backends.reward.clip import clip
    from pipeline.backends.reward.hpsv2 import hpsv2
    from pipeline.backends.reward.mps import mps
    from pipeline.backends.reward.offline import OfflineChecklist, OfflineDims
    from pipeline.backends.reward.videoscore import videoscore
    from pipeline.backends.reward.worker import Worker

    return {
        "offline_checklist": partial(OfflineChecklist, world=world),
        "offline_dims": partial(OfflineDims, world=world),
        "checklist": Checklist,
        "visionreward": Worker,
        "videoalign": Worker,
        "videoscore": videoscore,
        "aesthetic": aesthetic,
        "clip": clip,
        "mps": mps,
        "hpsv2": hpsv2,
    }


def make_reward(params: RewardModel, world: World) -> Reward:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs.

    Before its first clip it must tell a good clip from a spoilt one, or raises DataError.
    """
    from pipeline.backends.reward.self_test import Looking

    return Looking(backends(world)[params.backend](params))
