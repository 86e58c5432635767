"""A sentence-embedding model: a text's meaning as a vector, for `queries.semantic` (SBERT, arXiv 1908.10084)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.backends.weights import revision_of
from pipeline.runtime.io import DataError
from pipeline.runtime.named_model import READ, download
from pipeline.runtime.one_thread import use_one_thread
from pipeline.runtime.progress import hide_noise
from schemas.params import SemanticParams

if TYPE_CHECKING:
    import numpy.typing as npt

PARTS = "modules.json"
"""What tells a sentence-embedding model from another one: the parts that make one vector of a text's tokens."""
FILES = (*READ, PARTS, "vocab.txt", "*.model")
BATCH = 32
"""Texts that the model reads at once. Ours: the library's own."""


def find_fault(params: SemanticParams, root: Path = Path()) -> str | None:
    """Return what is missing, the library or a model in its folder, None where nothing is; no network is touched.

    `root` is where a relative path begins.
    """
    if importlib.util.find_spec("sentence_transformers") is None:
        return (
            "queries.semantic needs sentence-transformers: pip install -e '.[semantic]' -c constraints.txt, or set it "
            "to null"
        )
    folder = root / params.model
    try:
        revision_of(str(folder) if folder.is_dir() else params.model, params.revision)
    except DataError as fault:
        return f"queries.semantic: {fault.message}"
    return find_other_kind(folder) if folder.is_dir() else None


def find_other_kind(folder: Path) -> str | None:
    """Return what tells that a folder's model is of another kind, None where it is of ours."""
    if (folder / PARTS).is_file():
        return None
    return f"queries.semantic: {folder} has no {PARTS}, so it is no model of sentence-transformers"


def refuse(fault: str | None) -> None:
    """Raise DataError where there is a fault."""
    if fault:
        raise DataError(fault)


class SentenceModel:
    """Reads texts of any length; `revision` is what its vectors depend on."""

    def __init__(self, params: SemanticParams):
        """Raises DataError where `find_fault` finds one, and for a model that the Hub does not give."""
        refuse(find_fault(params))
        self.revision = revision_of(params.model, params.revision)
        from sentence_transformers import SentenceTransformer

        folder = download(params.model, params.revision, FILES)
        refuse(find_other_kind(Path(folder)))
        use_one_thread(folder)
        hide_noise()
        # our own code alone runs, and no pickle is read
        self.model = SentenceTransformer(folder, model_kwargs={"use_safetensors": True}, local_files_only=True)
        self.model.eval()

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Return (texts, dimensions), each vector of length 1."""
        vectors = self.model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return vectors.astype(np.float16)
