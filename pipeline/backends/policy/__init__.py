"""Seam `policy`: the model we train, writing prompts for queries."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from pipeline.backends import Outcome
from pipeline.io import DataError
from schemas.base import QueryBase
from schemas.params import Policy as PolicyParams
from schemas.params import Rollout as Sampling

# what a policy's words depend on; model cards and training logs are left out
WEIGHTS = ("*.safetensors", "config.json", "generation_config.json", "tokenizer*.json", "chat_template.jinja")


class Policy(Protocol):
    def map(self, queries: Iterable[QueryBase], k: int, sampling: Sampling, seed: int) -> Iterator[Outcome[str]]:
        """Yield k Outcomes for each query, query by query, sample by sample.

        The draw of a sample depends on (seed, query_id, sample index) alone, not on what is sampled beside it.
        """
        ...

    def status(self) -> str:
        """Return what to show of the money while it runs; "" where nothing is paid."""
        ...


def model_revision(folder: str | Path) -> str:
    """Return 16 hex digits over weights, tokenizer and chat template of a model folder."""
    folder = Path(folder)
    digest = hashlib.sha256()
    files = sorted({path for pattern in WEIGHTS for path in folder.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise DataError(f"{folder}: no safetensors weights in it; train the model first (dvc repro sft)")
    for path in files:
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def make_policy(folder: str | Path, params: PolicyParams) -> Policy:
    """Return the policy whose weights lie in `folder`, run here or asked where it is served."""
    if params.backend == "openai":
        from pipeline.backends.policy.openai import OpenAI

        return OpenAI(folder, params)
    from pipeline.backends.policy.transformers import Transformers

    return Transformers(folder, params)
