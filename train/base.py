"""Where the policy starts from: a folder with weights, or the pinned name of a model on the Hub."""

import json
from pathlib import Path

from pipeline.io import DataError

NAMED = "base.json"


def base_of(folder: Path) -> tuple[str, str | None]:
    """Return (name or path, revision) of the base model that stage base_model left in `folder`."""
    named = folder / NAMED
    if named.is_file():
        told = json.loads(named.read_text(encoding="utf-8"))
        return told["name"], told["revision"]
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: no model in it; run `dvc repro base_model`")
    return str(folder), None
