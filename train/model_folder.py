"""A model's folder: what it may hold, and which model stands in it or is named there by its pinned name on the Hub."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.llm.chat_format import prepare_tokenizer
from pipeline.runtime.io import DataError
from pipeline.runtime.named_model import read_name

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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
    if named := read_name(folder):
        return named
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: no model in it; run `dvc repro base_model`")
    return str(folder), None


def read_origin(folder: Path) -> str | None:
    """Return the name of the model that the one in `folder` descends from, None for the tiny one made here.

    Of a base that is a folder its last part alone: cards are published, and the path to it is the machine's.
    """
    if named := read_name(folder):
        name, revision = named
        if revision:
            return name
        made_here = (Path(name) / "model.json").is_file()
        return read_origin(Path(name)) if made_here else Path(name).resolve().name
    if (folder / "model.json").is_file():
        return json.loads((folder / "model.json").read_text(encoding="utf-8")).get("origin")
    return None


def read_dtype(folder: str) -> str:
    """Return the type of a model's weights by its config, `float32` where it names none."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    dtype = config.dtype or config.get_text_config().dtype
    return str(dtype).removeprefix("torch.") if dtype else "float32"


def load_tokenizer(folder: str, chat_template: str | None = None) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model folder in its chat format, or in ours of the name `chat_template`.

    Raises DataError for one that knows no chat format, or none that an answer can be trained in.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    prepare_tokenizer(tokenizer, chat_template, folder)
    return tokenizer
