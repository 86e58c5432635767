"""Seam `reward`: a model that scores a clip against a text; it sees the clip's bytes and the text, nothing else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.backends import Outcome
from schemas.base import Provenance
from schemas.params import World
from schemas.params_video import RewardModel
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


class Reward(Protocol):
    """Cheap to make: weights are loaded at the first clip."""

    by: Provenance
    """Backend, model and revision; the revision covers the question file and the frames that are looked at."""

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        """Yield one Outcome for each item, in order: scores, or bad_clip, no_score, ..."""
        ...


def _offline_checklist(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.offline import OfflineChecklist

    return OfflineChecklist(params, world)


def _offline_dims(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.offline import OfflineDims

    return OfflineDims(params, world)


def _checklist(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.checklist import Checklist

    return Checklist(params)


def _worker(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.worker import Worker

    return Worker(params)


def _videoscore(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.videoscore import videoscore

    return videoscore(params)


def _aesthetic(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.aesthetic import aesthetic

    return aesthetic(params)


def _clip(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.clip import clip

    return clip(params)


def _mps(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.mps import mps

    return mps(params)


def _hpsv2(params: RewardModel, world: World) -> Reward:
    from pipeline.backends.reward.hpsv2 import hpsv2

    return hpsv2(params)


REWARDS = {
    "offline_checklist": _offline_checklist,
    "offline_dims": _offline_dims,
    "checklist": _checklist,
    "visionreward": _worker,
    "videoalign": _worker,
    "videoscore": _videoscore,
    "aesthetic": _aesthetic,
    "clip": _clip,
    "mps": _mps,
    "hpsv2": _hpsv2,
}


def make_reward(params: RewardModel, world: World) -> Reward:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs.

    Before its first clip it must tell a good clip from a spoilt one, or raises DataError.
    """
    from pipeline.backends.reward.self_test import Looking

    return Looking(REWARDS[params.backend](params, world))
