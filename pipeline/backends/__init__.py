"""The four seams: teacher, policy, renderer, reward. Each maps a stream to a stream of Outcomes in input order."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from schemas.base import Provenance, content_id
from schemas.reasons import Reason

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """A result and who made it, or a typed reason why there is none."""

    value: T | None = None
    by: Provenance | None = None
    reason: Reason | None = None
    detail: str = ""


class Unparsed(Exception):
    """Raised by a `parse` that finds no usable answer in a reply; `detail` is a short code."""

    def __init__(self, detail: str):
        super().__init__(detail)
        self.detail = detail


def source_hash(paths: Iterable[str | Path], **knobs) -> str:
    """Return the revision of an offline backend: the hash of its own source files and knobs (ours: design 5)."""
    texts = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    return content_id(texts, knobs)
