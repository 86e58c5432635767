"""Seam `policy`: the model we train, writing prompts for queries."""

import hashlib
from pathlib import Path

from pipeline.runtime.io import DataError
from schemas.params import PolicyParams
from schemas.seams import Policy

# what a policy's words depend on; model cards and training logs are left out
WEIGHTS = ("*.safetensors", "config.json", "generation_config.json", "tokenizer*.json", "chat_template.jinja")


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
