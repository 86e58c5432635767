"""Seam `reward`: a model that scores a clip against a text; it sees the clip's bytes and the text, nothing else."""

from collections.abc import Callable
from functools import partial

from pipeline.scoring.clip_scores import sound as sound
from schemas.params import WorldParams
from schemas.params_video import RewardModelParams
from schemas.seams import RewardModel


def backends(world: WorldParams) -> dict[str, Callable[[RewardModelParams], RewardModel]]:
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


def make_reward(params: RewardModelParams, world: WorldParams) -> RewardModel:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs.

    Before its first clip it must tell a good clip from a spoilt one, or raises DataError.
    """
    from pipeline.backends.reward.self_test import Looking

    return Looking(backends(world)[params.backend](params))
