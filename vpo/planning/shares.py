"""Shares that a plan counts by: of the last run where the same models made it, else assumed, from least to most."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.params import Params

LEAST_SEEN = 20
"""of fewer units no share is taken"""
WRITERS = (
    "teacher.backend", "teacher.model", "judge.backend", "judge.model", "base_model.backend", "base_model.name",
    "policy.backend", "render.backend", "render.model", "queries.source", "queries.path",
)  # fmt: skip
"""keys of params whose values make a run's shares those of another run"""


class Assumed(NamedTuple):
    """A share that no run has shown: the bound of fewest calls, the likely value, the other bound."""

    least: float
    likely: float
    most: float
    source: str


UNSAFE = Assumed(0.9, 0.7, 0.5, "assumed")
"""ours: of safety candidates, those that are unsafe"""
NO_AGAIN = Assumed(0.95, 0.8, 0.6, "assumed")
"""ours: of later votes, those that say No too"""
STILL_FLAWED = Assumed(0.05, 0.2, 0.35, "assumed")
"""ours: of refined prompts, those that the critic still faults"""
CUT = Assumed(0.005, 0.02, 0.1, "assumed")
"""ours: of answers, those that are cut or empty, which `retry_truncated` asks for once more"""
FLAWED_OFFLINE = Assumed(0.2, 0.35, 0.5, "assumed")
"""ours: of prompts that the offline world writes, those that are found flawed"""
FLAWED_BY_POLICY = Assumed(0.054, 0.062, 0.156, "assumed: VPO Table 2, VPO-SFT (VPO 5.4%, GLM-4 15.6%)")
"""VPO Table 2: unsafe and imprecise of all prompts that are no refusal, written by the SFT policy"""
FLAWED_BY_TEACHER = Assumed(0.062, 0.113, 0.156, "assumed: VPO Table 2, few-shot GPT-4o (VPO-SFT 6.2%, GLM-4 15.6%)")
"""the same, of prompts that an LLM writes by examples"""

LEAST, LIKELY, MOST = 0, 1, 2
"""which of its three values an Assumed counts with"""


def writers_of(params: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of WRITERS among params of a lock, whose keys are dotted or sections."""
    values: dict[str, Any] = {}
    for name, value in params.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping):
            values |= writers_of(value, f"{key}.")
        elif key in WRITERS:
            values[key] = value
    return values


def differing(params: Params, recorded: Mapping[str, Any]) -> list[str]:
    """Return the keys of `recorded` (WRITERS and their values of a run) that have another value now."""
    now = writers_of(params.model_dump(include={key.partition(".")[0] for key in WRITERS}))
    return [key for key, value in recorded.items() if now.get(key) != value]
