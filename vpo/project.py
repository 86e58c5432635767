"""Finds the project that a command is about."""

from pathlib import Path

import click


def find_project(start: Path | None = None) -> Path:
    """Return the nearest folder, from `start` (default: here) upwards, that holds dvc.yaml and params.yaml.

    A recipe's folder can hold both and is a part of the project above.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if is_project(folder):
            above = folder.parents[1] if folder.parent.name == "recipes" else folder
            return above if is_project(above) else folder
    raise click.ClickException(
        f"{start}: no project here or above (a folder with dvc.yaml and params.yaml); cd into one"
    )


def is_project(folder: Path) -> bool:
    """Return whether a folder holds dvc.yaml and params.yaml."""
    return (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file()
