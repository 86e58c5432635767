"""Finds, exactly, which of the added rows are similar to a row: an inverted index on the rarest n-grams.

Bound: similar rows share at least need_n n-grams, for every n. So of any n-grams of a row that number
T_n - need_n + 1, a similar row holds one, and the rarest may be chosen, for the rows in the index are listed under all
of theirs. An n-gram that no other row has covers its place at no cost. (Ours; the idea is prefix filtering, Chaudhuri
et al. 2006.)
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.curation.arrays import Floats, Int32s, Int64s, Ints
from pipeline.curation.bleu import ORDER
from pipeline.curation.ngrams import Ngrams

WorkSpace: TypeAlias = tuple[Ints, Int32s, Int64s, Int32s, Int32s]
"""Arrays that one thread of a search writes to: hits, touched, keys, gram_keys, gram_counts."""


def _group_by_length(lengths: Int64s) -> tuple[Int64s, Int32s]:
    """Return the lengths that occur, and for each row which of them is its own."""
    occurs = np.bincount(lengths) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs, dtype=np.int32) - 1)[lengths]


class SimilarityIndex:
    """Rows that are added and searched; similar means sim >= threshold (0..1). Up to `capacity` rows."""

    def __init__(self, grams: Ngrams, threshold: float, capacity: int | None = None) -> None:
        from pipeline.curation import kernels_similar

        self.threshold = float(threshold)
        self.tokens = grams.tokens
        lengths, classes = _group_by_length(self.tokens.lengths)
        needs, least = kernels_similar.tabulate_needs(lengths, self.threshold)
        usable = (least > 0) & (least < kernels_similar.IMPOSSIBLE) & (lengths >= np.arange(1, ORDER + 1)[:, None])
        highest = ORDER - 1 - np.argmax(usable[::-1], axis=0)
        self.used = np.isin(np.arange(ORDER), highest[lengths > 0])
        self.capacity = len(self.tokens) if capacity is None else capacity
        self.placed: Int32s = np.empty(self.capacity, np.int32)
        self.n_placed = 0
        counts = grams.counts.copy()
        for n in range(ORDER):
            if not self.used[n]:
                counts[grams.bases[n] : grams.bases[n + 1]] = 0
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.lists: Int32s = np.empty(offsets[-1], np.int32)
        self.index = (
            needs, least, self.used, grams.ids, self.tokens.starts, classes, offsets,
            np.zeros(len(counts), np.int32), self.lists, self.placed,
        )  # fmt: skip
        self.longest = int(lengths.max(initial=1))
        self.space = self._make_space()

    def _make_space(self) -> WorkSpace:
        table = 1 << int(2 * self.longest).bit_length()
        counter: npt.DTypeLike = np.uint16 if self.longest < 1 << 16 else np.int32
        return (
            np.zeros(self.capacity, counter), np.empty(self.capacity, np.int32), np.empty(self.longest, np.int64),
            np.empty((ORDER, table), np.int32), np.empty((ORDER, table), np.int32),
        )  # fmt: skip

    def add(self, rows: npt.ArrayLike) -> None:
        """Add rows, by index, behind those that are in the index."""
        from pipeline.curation import kernels_similar

        self.n_placed = kernels_similar.add_each(
            np.asarray(rows, np.int64), self.n_placed, *self.index[2:5], *self.index[6:]
        )

    def find_similar(self, row: int) -> Iterator[tuple[int, float]]:
        """Yield (other, sim) of the other added rows that are similar to `row`, in the order they were added."""
        from pipeline.curation import kernels_similar

        places, scores = np.empty(self.n_placed, np.int32), np.empty(self.n_placed, np.float64)
        n_similar = kernels_similar.search(row, 0, False, self.threshold, *self.index, *self.space, places, scores)
        for i in np.argsort(places[:n_similar]):
            yield int(self.placed[places[i]]), float(scores[i])

    def find_first_similar(self, rows: Int32s, witness: Int32s, score: Floats, threads: int | None = None) -> None:
        """Write for each of `rows` the first added row that is similar to it, or -1, to `witness`; sim to `score`."""
        from pipeline.curation import kernels_similar

        def search(part: Int32s, space: WorkSpace) -> None:
            kernels_similar.search_each(part, 0, self.threshold, *self.index, *space, witness, score)

        threads = threads or os.cpu_count() or 1
        if threads == 1:
            search(rows, self.space)
            return
        spaces = [self.space, *(self._make_space() for _ in range(threads - 1))]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(search, (np.ascontiguousarray(rows[start::threads]) for start in range(threads)), spaces))

    def keep(self, rows: Int32s, witness: Int32s, score: Floats) -> None:
        """Add those of `rows` that no row before them, among `rows`, is similar to; the others get their witness."""
        from pipeline.curation import kernels_similar

        self.n_placed = kernels_similar.keep_each(
            rows, self.n_placed, self.threshold, *self.index, *self.space, witness, score
        )  # fmt: skip
