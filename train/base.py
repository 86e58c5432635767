"""Where the policy starts from: a folder with weights, or the pinned name of a model on the Hub."""

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.runtime.io import DataError

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


def origin_of(folder: Path) -> str | None:
    """Return the name of the model that the one in `folder` descends from, None for the tiny one made here.

    Of a base that is a folder its last part alone: cards are published, and the path to it is the machine's.
    """
    if (folder / NAMED).is_file():
        name, revision = base_of(folder)
        if revision:
            return name
        known = (Path(name) / "model.json").is_file()
        return origin_of(Path(name)) if known else Path(name).resolve().name
    if (folder / "model.json").is_file():
        return json.loads((folder / "model.json").read_text(encoding="utf-8")).get("origin")
    return None


def downloaded(name: str, revision: str | None, files: Sequence[str] = READ) -> str:
    """Return the folder of a base model; a Hub model is fetched at its commit. Raises DataError."""
    if revision is None:
        return name
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    try:
        return snapshot_download(name, revision=revision, allow_patterns=list(files))
    except GatedRepoError:
        raise DataError(
            f"{name} is gated: accept its licence on https://huggingface.co/{name}, then set HF_TOKEN to a token of "
            "that account"
        ) from None
    except (OSError, ValueError) as fault:
        said = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise DataError(
            f"{name} at {revision}: the Hub gave no model: {said[:300]}; check base_model.name and "
            "base_model.revision, whether its licence is accepted (HF_TOKEN), the network and HF_HUB_OFFLINE"
        ) from None


def tokenizer_of(folder: str):
    """Return the tokenizer of a model folder. Raises DataError for one that knows no chat format."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        raise DataError(f"{folder}: the tokenizer has no chat template; take an instruct model as base_model.name")
    return tokenizer
