"""Where the policy starts from: a folder with weights, or the pinned name of a model on the Hub."""

import json
from pathlib import Path

from pipeline.io import DataError

NAMED = "base.json"
# what training reads of a Hub model: never its pickles
READ = (
    "*.safetensors",
    "model.safetensors.index.json",
    "*config.json",
    "tokenizer*",
    "*.jinja",
    "vocab.json",
    "merges.txt",
)


def base_of(folder: Path) -> tuple[str, str | None]:
    """Return (name or path, revision) of the base model that stage base_model left in `folder`."""
    named = folder / NAMED
    if named.is_file():
        told = json.loads(named.read_text(encoding="utf-8"))
        return told["name"], told["revision"]
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: no model in it; run `dvc repro base_model`")
    return str(folder), None


def downloaded(name: str, revision: str | None) -> str:
    """Return the folder of a base model; a Hub model is fetched at its commit. Raises DataError."""
    if revision is None:
        return name
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, revision=revision, allow_patterns=list(READ))
    except (OSError, ValueError) as fault:
        said = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise DataError(
            f"{name} at {revision}: the Hub gave no model: {said[:300]}; check base_model.name and "
            "base_model.revision, whether its licence is accepted (HF_TOKEN), the network and HF_HUB_OFFLINE"
        ) from None
