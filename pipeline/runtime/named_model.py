"""A model's folder that holds a name in place of weights: which model it names, and where that one's files lie."""

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.runtime.io import DataError

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
"""What is read of a model: never its pickles."""


def read_name(folder: Path) -> tuple[str, str | None] | None:
    """Return (name or path, revision) of the model that a folder names, None where it names none."""
    named = folder / NAMED
    if not named.is_file():
        return None
    base = json.loads(named.read_text(encoding="utf-8"))
    return base["name"], base["revision"]


def read_chat_template(folder: Path) -> str | None:
    """Return the name of our chat format that a folder gives the model it names, None for the model's own."""
    named = folder / NAMED
    return json.loads(named.read_text(encoding="utf-8")).get("chat_template") if named.is_file() else None


def locate_model(folder: Path) -> str:
    """Return where the files of a folder's model lie: there, or where the one that it names is, fetched if need be.

    Raises DataError for a model that the Hub does not give.
    """
    named = read_name(folder)
    return download(*named) if named else str(folder)


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
