"""Finds, exactly, which of the rows seen so far are similar to a row: an inverted index on the rarest n-grams.

Bound: similar rows share at least need_n n-grams, for every n. So of any n-grams of a row that number
T_n - need_n + 1, a similar row holds one, and the rarest may be chosen, for the rows in the index are listed under all
of theirs. An n-gram that no other row has covers its place at no cost.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.curation.bleu import ORDER
from pipeline.curation.ngrams import Ngrams


def _classes(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths that occur, and for each row which of them is its own."""
    occurs = np.bincount(lengths) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs, dtype=np.int32) - 1)[lengths]


class SimilarIndex:
    """Rows that are added and asked for; similar means sim >= threshold (0..1). Up to `capacity` rows."""

    def __init__(self, grams: Ngrams, threshold: float, capacity: int | None = None):
        from pipeline.curation import kernels_similar

        self.threshold = float(threshold)
        self.tokens = grams.tokens
        lengths, classes = _classes(self.tokens.lengths)
        needs, least = kernels_similar.need_table(lengths, self.threshold)
        usable = (least > 0) & (least < kernels_similar.IMPOSSIBLE) & (lengths >= np.arange(1, ORDER + 1)[:, None])
        highest = ORDER - 1 - np.argmax(usable[::-1], axis=0)
        self.used = np.isin(np.arange(ORDER), highest[lengths > 0])
        self.capacity = len(self.tokens) if capacity is None else capacity
        self.placed = np.empty(self.capacity, np.int32)
        self.n_placed = 0
        counts = grams.counts.copy()
        for n in range(ORDER):
            if not self.used[n]:
                counts[grams.bases[n] : grams.bases[n + 1]] = 0
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.lists = np.empty(offsets[-1], np.int32)
        self.index = (
            needs, least, self.used, grams.ids, self.tokens.starts, classes, offsets,
            np.zeros(len(counts), np.int32), self.lists, self.placed,
        )  # fmt: skip
        self.longest = int(lengths.max(initial=1))
        self.space = self._space()

    def _space(self) -> tuple[np.ndarray, ...]:
        """Return the work space of one thread."""
        table = 1 << int(2 * self.longest).bit_length()
        hits = np.zeros(self.capacity, np.uint16 if self.longest < 1 << 16 else np.int32)
        return (
            hits, np.empty(self.capacity, np.int32), np.empty(self.longest, np.int64),
            np.empty((ORDER, table), np.int32), np.empty((ORDER, table), np.int32),
        )  # fmt: skip

    def add(self, rows: Sequence[int]) -> None:
        from pipeline.curation import kernels_similar

        self.n_placed = kernels_similar.add_each(
            np.asarray(rows, np.int64), self.n_placed, *self.index[2:5], *self.index[6:]
        )

    def similar(self, row: int) -> Iterator[tuple[int, float]]:
        """Yield (other, sim) of the other added rows that are similar to `row`, in the order they were added."""
        from pipeline.curation import kernels_similar

        found, scores = np.empty(self.n_placed, np.int32), np.empty(self.n_placed, np.float64)
        n_found = kernels_similar.search(row, 0, False, self.threshold, *self.index, *self.space, found, scores)
        for at in np.argsort(found[:n_found]):
            yield int(self.placed[found[at]]), float(scores[at])

    def first_similar(self, rows: np.ndarray, witness: np.ndarray, score: np.ndarray, threads: int | None = None):
        """Write for each of `rows` the first added row that is similar to it, or -1, to `witness`; sim to `score`."""
        from pipeline.curation import kernels_similar

        def search(part: np.ndarray, space: tuple) -> None:
            kernels_similar.search_each(part, 0, self.threshold, *self.index, *space, witness, score)

        threads = threads or os.cpu_count() or 1
        if threads == 1:
            search(rows, self.space)
            return
        spaces = [self.space, *(self._space() for _ in range(threads - 1))]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(search, (np.ascontiguousarray(rows[at::threads]) for at in range(threads)), spaces))

    def keep(self, rows: np.ndarray, witness: np.ndarray, score: np.ndarray) -> None:
        """Add those of `rows` that no row before them, among `rows`, is similar to; the others get their witness."""
        from pipeline.curation import kernels_similar

        self.n_placed = kernels_similar.keep_each(
            rows, self.n_placed, self.threshold, *self.index, *self.space, witness, score
        )  # fmt: skip
