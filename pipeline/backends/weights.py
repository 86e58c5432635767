"""Where a model's weights are and that they are safe to load: pinned, and safetensors alone (ours)."""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from pipeline.runtime.io import DataError
from schemas.section import COMMIT, ON_THE_HUB

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
NEVER_READ = {".git", ".cache", "__pycache__"}


def revision_of(model: str, revision: str | None) -> str:
    """Return the 40-hex commit of a Hub model, or 16 hex digits over the files of a folder.

    Raises DataError for a Hub model without a commit, for a folder with one, and for weights that are pickles.
    """
    if Path(model).is_dir():
        if revision is not None:
            raise DataError(f"{model} is a folder, whose revision is the hash of its files: set revision to null")
        return folder_revision(model)
    if not re.fullmatch(ON_THE_HUB, model):
        raise DataError(f"{model}: no such folder, and no owner/name of a model on the Hub")
    if revision is None or not re.fullmatch(COMMIT, revision):
        raise DataError(f"{model}: set revision to the model's 40-hex commit; a branch can change under a dataset")
    return revision


def name_of(model: str) -> str:
    """Return the name that rows carry: owner/name on the Hub, of a folder its last part, wherever it lies."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def folder_revision(folder: str | Path) -> str:
    """Return 16 hex digits over names and contents of a model folder's files. Raises DataError for pickled weights."""
    folder = Path(folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in files if not NEVER_READ & {*path.relative_to(folder).parts}]
    files = [path for path in files if path.name != "README.md"]
    weights = [path for path in files if path.suffix == ".safetensors"]
    if not weights:
        refuse_pickles([path.name for path in files], str(folder))
        raise DataError(f"{folder}: no safetensors weights in it")
    # pickles are never read, so no part of what the model is
    read = [path for path in files if path.suffix not in PICKLES]
    stats = [path.stat() for path in read]
    signs = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in zip(read, stats, strict=True)]
    return _digest(folder, tuple(signs))


@lru_cache(maxsize=16)
def _digest(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash the contents; sizes and times are there so that a process reads large weights once."""
    digest = hashlib.sha256()
    for path, *_ in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def refuse_pickles(names: list[str], model: str) -> None:
    """Raise DataError when there are weights among `names` and all of them are pickles."""
    pickled = [name for name in names if name.endswith(PICKLES)]
    if pickled and not any(name.endswith(".safetensors") for name in names):
        raise DataError(
            f"{model}: {pickled[0]} is a pickle, which can run code when it is loaded; convert it to safetensors"
        )


def refuse_lacking(missing: Iterable[str], model: str) -> None:
    """Raise DataError when weights are missing: they would be left at random, and nobody sees it in what is made."""
    if names := sorted(missing):
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise DataError(f"{model}: the weights lack {', '.join(names[:3])}{more}; fetch the model anew")
