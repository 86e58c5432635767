"""Shapes only: the row each stage writes, by the stage's name."""

from schemas.base import Row
from schemas.critique import Critique
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.d_text import DText
from schemas.d_video import DVideo
from schemas.evaluate import Evaluate
from schemas.fewshot import Fewshot
from schemas.queries import Query
from schemas.refine import Refine
from schemas.render import Render
from schemas.reward import Reward
from schemas.rollout import Rollout

ROWS: dict[str, type[Row]] = {
    "queries": Query,
    "fewshot": Fewshot,
    "critique": Critique,
    "refine": Refine,
    "d_sft": DSft,
    "rollout": Rollout,
    "d_text": DText,
    "render": Render,
    "reward": Reward,
    "d_video": DVideo,
    "d_dpo": DDpo,
    "evaluate": Evaluate,
}
