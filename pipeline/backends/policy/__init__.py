"""Seam `policy`: the model we train, writing prompts for queries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.backends.policy.openai import OpenAI
from pipeline.backends.policy.transformers import Transformers
from schemas.params import PolicyParams
from schemas.seams import Policy

POLICIES: dict[str, Callable[[str | Path, Any], Policy]] = {"transformers": Transformers, "openai": OpenAI}
"""backend by name; each takes the folder of weights and its params class (schemas/params_policy.py)"""


def make_policy(folder: str | Path, params: PolicyParams) -> Policy:
    """Return the policy whose weights lie in `folder`, run here or asked where it is served."""
    return POLICIES[params.backend](folder, params)
