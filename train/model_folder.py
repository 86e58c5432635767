"""A model's folder: what it may hold, and which model stands in it or is named there by its pinned name on the Hub."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.io import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMED = "base.json"
"""The file that names a model which lies elsewhere."""
READ = (
    "*.safetensors",
    "model.safetensors.index.json",
    "*config.json",
    "tokenizer*",
    "*.jinja",
    "vocab.json",
    "merges.txt",
)
"""What training reads of a model: never its pickles."""
KEPT = (
    "*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "chat_template.jinja",
    "model.json",
)
"""What training leaves in a folder: no pickle, no optimizer state, no log; a card is made when a model is published."""


def read_base(folder: Path) -> tuple[str, str | None]:
    """Return (name or path, revision) of the base model that stage base_model left in `folder`.

    Raises DataError where there is none.
    """
    named = folder / NAMED
    if named.is_file():
        base = json.loads(named.read_text(encoding="utf-8"))
        return base["name"], base["revision"]
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: no model in it; run `dvc repro base_model`")
    return str(folder), None


def read_origin(folder: Path) -> str | None:
    """Return the name of the model that the one in `folder` descends from, None for the tiny one made here.

    Of a base that is a folder its last part alone: cards are published, and the path to it is the machine's.
    """
    if (folder / NAMED).is_file():
        name, revision = read_base(folder)
        if revision:
            return name
        made_here = (Path(name) / "model.json").is_file()
        return read_origin(Path(name)) if made_here else Path(name).resolve().name
    if (folder / "model.json").is_file():
        return json.loads((folder / "model.json").read_text(encoding="utf-8")).get("origin")
    return None


def download(name: str, revision: str | None, files: Sequence[str] = READ) -> str:
    """Return the folder of a base model; a Hub model is fetched at its commit, a folder (no revision) stays as it is.

    Raises DataError for a model that the Hub does not give.
    """
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
        first_line = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise DataError(
            f"{name} at {revision}: the Hub gave no model: {first_line[:300]}; check base_model.name and "
            "base_model.revision, whether its licence is accepted (HF_TOKEN), the network and HF_HUB_OFFLINE"
        ) from None


def load_tokenizer(folder: str) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model folder. Raises DataError for one that knows no chat format."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        raise DataError(f"{folder}: the tokenizer has no chat template; take an instruct model as base_model.name")
    return tokenizer
