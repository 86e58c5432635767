"""Seam `teacher`: an LLM that answers messages. The judge is a second instance of the same seam."""

from schemas.params import TeacherParams, WorldParams
from schemas.seams import Teacher


def make_teacher(params: TeacherParams, world: WorldParams) -> Teacher:
    """Return the backend that `params.backend` names; `world` holds the offline world's knobs."""
    if params.backend == "offline":
        from pipeline.backends.teacher.offline import Offline

        return Offline(params, world)
    from pipeline.backends.teacher.openai import OpenAI

    return OpenAI(params)
