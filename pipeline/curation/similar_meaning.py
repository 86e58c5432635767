"""Drops a query that means what an earlier one means, in other words (ours; VPO 3.2 compares words alone)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.curation.arrays import Floats, Int32s, Int64s, UInt64s
from pipeline.curation.drops import make_drops
from schemas.reasons import Reason

if TYPE_CHECKING:
    import polars as pl

Vectors: TypeAlias = npt.NDArray[np.float16]
"""(texts, dimensions), each of length 1; half precision hides most of what a batch's neighbours do to last bits."""
EmbedRows: TypeAlias = "Callable[[UInt64s, Callable[[Int64s], list[str]]], Vectors]"
"""Query ids as numbers, and what returns the texts at some of their places -> the vectors of all."""

BLOCK = 1024
"""Rows that are compared at once. Ours: with CHUNK, 32 MB of products."""
CHUNK = 8192
"""Kept rows that a block is compared with at once."""
DIGITS = 4
"""Digits of a score. Ours: beyond them a score tells of the processor, not of the text."""
SLACK = 1e-3
"""What a product in single precision may be off, rounding included, before a pair is looked at exactly."""


@dataclass(frozen=True)
class Meaning:
    """`left`: those of the rows that stay, as indices among the rows that passed the rules; why the others leave."""

    left: Int64s
    drops: pl.DataFrame


def drop_similar_meaning(
    rows: Int64s, vectors: Vectors, threshold: float, passed: Int64s, source_ids: pl.Series
) -> Meaning:
    """Drop those of `rows` that mean what an earlier one that stays means.

    `rows` are indices among the rows that passed the rules, `vectors` has one of each; `passed` and `source_ids` are as
    in `drops.list_duplicates`.
    """
    witness, scores = find_similar_meaning(vectors, threshold)
    gone = np.flatnonzero(witness >= 0)
    witnesses = rows[witness[gone]]
    detail = "to " + source_ids.gather(passed[witnesses])
    drops = make_drops(passed[rows[gone]], Reason.SIMILAR_MEANING.value, detail, scores[gone], witnesses)
    return Meaning(rows[witness < 0], drops)


def find_similar_meaning(
    vectors: Vectors, threshold: float, block_size: int = BLOCK, chunk: int = CHUNK
) -> tuple[Int32s, Floats]:
    """Return per row the first earlier row that stays with cosine >= `threshold` (-1: none, it stays), and the cosine.

    Greedy in input order: the result for the first rows is the same whatever follows them. A cosine has DIGITS digits.
    """
    n_rows = len(vectors)
    witness, scores = np.full(n_rows, -1, np.int32), np.zeros(n_rows)
    kept = np.empty(n_rows, np.int32)
    n_kept = 0
    for begin in range(0, n_rows, block_size):
        rows = np.arange(begin, min(begin + block_size, n_rows))
        block = vectors[rows].astype(np.float32)
        for start in range(0, n_kept, chunk):
            open_rows = np.flatnonzero(witness[rows] < 0)
            others = kept[start : min(start + chunk, n_kept)]
            near = block[open_rows] @ vectors[others].astype(np.float32).T >= threshold - SLACK
            _leave(vectors, rows[open_rows], others, near, threshold, witness, scores)
        # the block's survivors among themselves, one by one: each may leave for one that stayed just before
        near = block @ block.T >= threshold - SLACK
        for place in np.flatnonzero(witness[rows] < 0):
            before = np.flatnonzero((witness[rows[:place]] < 0) & near[place, :place])
            if not len(before):
                continue
            row = rows[place : place + 1]
            _leave(vectors, row, rows[before], np.ones((1, len(before)), bool), threshold, witness, scores)
        stay = rows[witness[rows] < 0]
        kept[n_kept : n_kept + len(stay)] = stay
        n_kept += len(stay)
    return witness, scores


def _leave(
    vectors: Vectors,
    rows: Int64s,
    others: npt.NDArray[np.integer[Any]],
    near: npt.NDArray[np.bool_],
    threshold: float,
    witness: Int32s,
    scores: Floats,
) -> None:
    """Write witness and score of the `rows` that leave for the first of `others`; near[r, o]: the pair may be one."""
    waiting = np.flatnonzero(near.any(axis=1))
    while len(waiting):
        place = near[waiting].argmax(axis=1)
        exact = _cosines(vectors[rows[waiting]], vectors[others[place]])
        leaves = exact >= threshold
        done = rows[waiting[leaves]]
        witness[done], scores[done] = others[place[leaves]], exact[leaves]
        near[waiting[~leaves], place[~leaves]] = False
        waiting = waiting[~leaves]
        waiting = waiting[near[waiting].any(axis=1)]


def _cosines(some: Vectors, others: Vectors) -> Floats:
    """Return the cosine of each pair by itself: no sum depends on which pairs are looked at together."""
    left, right = some.astype(np.float64), others.astype(np.float64)
    products = [np.multiply(*pair).sum(axis=1) for pair in ((left, right), (left, left), (right, right))]
    norms = np.sqrt(products[1] * products[2])
    return np.round(products[0] / np.where(norms == 0, 1.0, norms), DIGITS)
