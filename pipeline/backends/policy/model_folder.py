"""Which weights a policy has: the hash of its model folder, which stands in rows and keys as its revision."""

import hashlib
from pathlib import Path

from pipeline.runtime.io import DataError
from pipeline.runtime.named_model import read_chat_template, read_name
from pipeline.runtime.set_aside import read_set_aside

# what a policy's words depend on; model cards and training logs are left out
WEIGHTS = ("*.safetensors", "config.json", "generation_config.json", "tokenizer*.json", "chat_template.jinja")


def model_revision(folder: str | Path) -> str:
    """Return 16 hex digits over weights, tokenizer and chat template of a model folder.

    Of a folder that names a model on the Hub over its name and commit, which stand for them.
    """
    folder = Path(folder)
    if why := read_set_aside(folder):
        raise DataError(f"{folder}: no model in it, the arm was set aside: {why}")
    digest = hashlib.sha256()
    if named := read_name(folder):
        name, commit = named
        chat_template = read_chat_template(folder) or ""
        if commit:
            digest.update(f"{name}\0{commit}".encode())
            digest.update(chat_template.encode())
            return digest.hexdigest()[:16]
        digest.update(chat_template.encode())
        folder = Path(name)
    files = sorted({path for pattern in WEIGHTS for path in folder.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise DataError(f"{folder}: no safetensors weights in it; train the model first (dvc repro sft)")
    for path in files:
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
