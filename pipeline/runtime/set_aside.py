"""An arm that cannot be trained leaves a marker in its model's folder: the stages behind it go on without it."""

import json
from pathlib import Path

from pipeline.runtime.io import replacing_folder, write_json

MARKER = "set_aside.json"
"""The only file in the folder of a model that was not trained."""
OWNED = ("*.safetensors", "*.json", "chat_template.jinja")
"""What a training leaves in the folder (train/model_folder.py), and what goes when an arm is set aside."""


def write_set_aside(folder: Path, why: str) -> None:
    """Leave a model's folder that says why there is no model in it, in the place of all that was there."""
    with replacing_folder(folder, owns=OWNED) as temporary:
        write_json(temporary / MARKER, {"why": why})


def read_set_aside(folder: Path) -> str | None:
    """Return why there is no model in a folder, None where nothing set it aside."""
    marker = folder / MARKER
    return json.loads(marker.read_text(encoding="utf-8"))["why"] if marker.is_file() else None
