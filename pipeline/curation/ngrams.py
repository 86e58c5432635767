"""The n-grams of a corpus as integers: equal grams get equal ids, and no hash is trusted."""

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.curation.bleu import ORDER, size


class Ngrams:
    """Ids of the n-grams (n = 1..4) of every row, and how often each occurs in the corpus."""

    def __init__(self, rows: Sequence[Sequence[str]]):
        vocabulary: dict[str, int] = {}
        self.lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        words = np.fromiter(_numbered(rows, vocabulary), np.int64, int(self.starts[-1]))
        ends = np.repeat(self.starts[1:], self.lengths)
        self.ids, self.counts = [words], [np.bincount(words, minlength=len(vocabulary))]
        for n in range(2, ORDER + 1):
            # an n-gram is its first n - 1 words' id and its last word, packed in one 64-bit number
            fits = np.arange(len(words)) + n <= ends
            at = np.flatnonzero(fits)
            packed = self.ids[-1][at] * np.int64(max(len(vocabulary), 1)) + words[at + n - 1]
            _, ids, counts = np.unique(packed, return_inverse=True, return_counts=True)
            column = np.full(len(words), -1, np.int64)
            column[at] = ids
            self.ids.append(column)
            self.counts.append(counts)

    def of(self, row: int, n: int) -> list[int]:
        """Return the ids of the n-grams of a row, in order, repeats included."""
        start = self.starts[row]
        return self.ids[n - 1][start : start + size(n, int(self.lengths[row]))].tolist()


def _numbered(rows: Sequence[Sequence[str]], vocabulary: dict[str, int]) -> Iterable[int]:
    for row in rows:
        for word in row:
            yield vocabulary.setdefault(word, len(vocabulary))
