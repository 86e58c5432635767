"""Keeps the vectors of queries under $VPO_HOME by query and model, so that a query is embedded once.

A file for the queries of each batch of work, named by their ids. Another model has another folder; a damaged file is
not used, and its queries are embedded anew.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline.curation.arrays import Int64s, UInt64s
from pipeline.curation.similar_meaning import Vectors
from pipeline.runtime.io import replacing
from pipeline.runtime.progress import progress
from schemas.base import content_id

SLICE = 4096
"""Queries whose vectors are kept at once: what a kill may cost. Ours."""


def embed_rows(
    query_ids: UInt64s,
    get_texts: Callable[[Int64s], list[str]],
    embed: Callable[[Sequence[str]], Vectors],
    folder: Path,
    size: int = SLICE,
) -> Vectors:
    """Return the vector of each query, (queries, dimensions); only those that `folder` has not are embedded.

    `get_texts` returns the texts at some places of `query_ids`.
    """
    kept_ids, vectors = read_vectors(folder)
    new = np.flatnonzero(~np.isin(query_ids, kept_ids))
    with progress("queries: meaning", len(new)) as report:
        parts = [vectors]
        for begin in range(0, len(new), size):
            places = new[begin : begin + size]
            made = embed(get_texts(places))
            write_vectors(folder, query_ids[places], made)
            parts.append(made)
            report(begin + len(places))
    ids = np.concatenate([kept_ids, query_ids[new]])
    # an empty folder tells no number of dimensions
    everything = np.concatenate([part for part in parts if len(part)]) if len(ids) else vectors
    order = np.argsort(ids, kind="stable")
    return everything[order[np.searchsorted(ids, query_ids, sorter=order)]]


def write_vectors(folder: Path, query_ids: UInt64s, vectors: Vectors) -> None:
    """Keep the vectors of some queries."""
    with replacing(folder / f"{content_id(query_ids.tolist())}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, query_ids=query_ids, vectors=vectors)


def read_vectors(folder: Path) -> tuple[UInt64s, Vectors]:
    """Return the ids of all queries whose vectors are kept, and the vectors."""
    ids, vectors = [np.empty(0, np.uint64)], [np.empty((0, 0), np.float16)]
    for path in sorted(folder.glob("*.npz")):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
                some, made = part["query_ids"], part["vectors"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            path.unlink(missing_ok=True)
            continue
        ids.append(some)
        vectors.append(made)
    return np.concatenate(ids), np.concatenate(vectors[1:]) if len(vectors) > 1 else vectors[0]
