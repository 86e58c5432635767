"""Finds the project that a command is about."""

from pathlib import Path

import click


def find_project(start: Path | None = None) -> Path:
    """Return the nearest folder, from `start` (default: here) upwards, that holds dvc.yaml and params.yaml."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file():
            return folder
    raise click.ClickException(
        f"{start}: no project here or above (a folder with dvc.yaml and params.yaml); cd into one"
    )
