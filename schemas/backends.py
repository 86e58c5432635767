"""The backends of each seam by name, as the params classes declare them; what they do stands in pipeline/backends/."""

from functools import cache
from typing import Any

from schemas.params_policy import BaseModelParams, PolicyParams
from schemas.params_render import RenderParams
from schemas.params_reward import RewardModelParams
from schemas.params_teacher import TeacherParams
from schemas.section import BackendParams, backend_names, section_classes

SEAMS: dict[str, Any] = {
    "teacher": TeacherParams,
    "base_model": BaseModelParams,
    "policy": PolicyParams,
    "render": RenderParams,
    "reward": RewardModelParams,
}
"""seam -> the type of its section: a union of params classes"""


@cache
def params_classes(seam: str) -> dict[str, type[BackendParams]]:
    """Return the params class of each backend of a seam, by the backend's name."""
    classes = [kind for kind in section_classes(SEAMS[seam]) if issubclass(kind, BackendParams)]
    return {name: kind for kind in classes for name in backend_names(kind)}


def is_stand_in(backend: str) -> bool:
    """Tell whether a backend, as rows name it, is small software in a model's place."""
    kinds = (params_classes(seam).get(backend) for seam in SEAMS)
    return any(kind.NEEDS.stand_in for kind in kinds if kind)


def is_of_base_model(backend: str) -> bool:
    """Tell whether what a backend writes is a model's that was trained here, under the terms of base_model."""
    kind = params_classes("policy").get(backend)
    return kind is not None and kind.NEEDS.of_base_model
