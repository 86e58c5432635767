"""Seam `reward`: a model that scores a clip against a text; it sees the clip's bytes and the text, nothing else."""

from collections.abc import Callable
from typing import Any

from pipeline.backends.reward.aesthetic import aesthetic
from pipeline.backends.reward.checklist import Checklist
from pipeline.backends.reward.clip import clip
from pipeline.backends.reward.hpsv2 import hpsv2
from pipeline.backends.reward.mps import mps
from pipeline.backends.reward.offline import OfflineChecklist, OfflineDims
from pipeline.backends.reward.self_test import Looking
from pipeline.backends.reward.videoscore import videoscore
from pipeline.backends.reward.worker import Worker
from schemas.params import RewardModelParams
from schemas.seams import RewardModel

REWARD_MODELS: dict[str, Callable[[Any], RewardModel]] = {
    "offline_checklist": OfflineChecklist,
    "offline_dims": OfflineDims,
    "checklist": Checklist,
    "visionreward": Worker,
    "videoalign": Worker,
    "videoscore": videoscore,
    "aesthetic": aesthetic,
    "clip": clip,
    "mps": mps,
    "hpsv2": hpsv2,
}
"""what makes a backend of its params class (schemas/params_reward.py), by name"""


def make_reward(params: RewardModelParams) -> RewardModel:
    """Return the backend that `params.backend` names.

    Before its first clip it must tell a good clip from a spoilt one, or raises DataError.
    """
    return Looking(REWARD_MODELS[params.backend](params))
