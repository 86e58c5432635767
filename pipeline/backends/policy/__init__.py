"""Seam `policy`: the model we train, writing prompts for queries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.backends.policy.transformers import Transformers
from pipeline.runtime.imports import collect_later
from schemas.params import PolicyParams
from schemas.seams import Policy


def ask_server(folder: str | Path, params: Any) -> Policy:
    """Return the policy that a server runs; the engine that buys is imported for it alone, not by `vpo optimize`."""
    from pipeline.backends.policy.openai import OpenAI

    return OpenAI(folder, params)


POLICIES: dict[str, Callable[[str | Path, Any], Policy]] = {"transformers": Transformers, "openai": ask_server}
"""backend by name; each takes the folder of weights and its params class (schemas/params_policy.py)"""


def make_policy(folder: str | Path, params: PolicyParams) -> Policy:
    """Return the policy whose weights lie in `folder`, run here or asked where it is served."""
    with collect_later():  # the constructor imports torch, the tokenizer's and the model's own modules
        return POLICIES[params.backend](folder, params)
