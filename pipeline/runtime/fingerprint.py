"""Hashes that say which code made a row."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from schemas.base import content_id


def source_hash(paths: Iterable[str | Path], **knobs) -> str:
    """Return the revision of an offline backend: the hash of its own source files and knobs (ours: design 5)."""
    texts = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    return content_id(texts, knobs)
