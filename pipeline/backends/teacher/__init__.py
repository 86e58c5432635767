"""Seam `teacher`: an LLM that answers messages. The judge is a second instance of the same seam."""

from collections.abc import Callable
from typing import Any

from pipeline.backends.teacher.offline import Offline
from pipeline.backends.teacher.openai import OpenAI
from schemas.params import TeacherParams, WorldParams
from schemas.seams import Teacher

TEACHERS: dict[str, Callable[[Any, WorldParams], Teacher]] = {
    "offline": Offline,
    "openai": lambda params, world: OpenAI(params),
}
"""what makes a backend of its params class (schemas/params_teacher.py), by name"""


def make_teacher(params: TeacherParams, world: WorldParams) -> Teacher:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs."""
    return TEACHERS[params.backend](params, world)
