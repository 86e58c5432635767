"""Finds, exactly, which of the rows seen so far are similar to a row: an inverted index on the rarest n-grams."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline.curation.bleu import GUARD, ORDER, need, prefix, similarity, size, window
from pipeline.curation.ngrams import Ngrams


class SimilarIndex:
    """Rows (token lists) that are added one by one and asked for; similar means sim >= threshold (0..1)."""

    def __init__(self, rows: Sequence[Sequence[str]], threshold: float):
        self.grams, self.threshold = Ngrams(rows), threshold
        self.lengths = self.grams.lengths.tolist()
        self.orders = sorted({prefix(length, threshold)[0] for length in set(self.lengths) if length})
        self.added: dict[int, dict[int, list[int]]] = {n: {} for n in self.orders}
        self.order_of: list[int] = []

    def add(self, row: int) -> None:
        place = len(self.order_of)
        self.order_of.append(row)
        for n in self.orders:
            often, lists = self.grams.counts[n - 1], self.added[n]
            for gram in set(self.grams.of(row, n)):
                # a gram that occurs once in the corpus can match nobody
                if often[gram] > 1:
                    lists.setdefault(gram, []).append(place)

    def similar(self, row: int) -> Iterator[tuple[int, float]]:
        """Yield (other, sim) of the other added rows that are similar to `row`, in the order they were added."""
        length = self.lengths[row]
        if not length:
            return
        n, least = prefix(length, self.threshold)
        lists, hits = self.added[n], Counter()
        uncovered = size(n, length) - least + 1
        mine = Counter(self.grams.of(row, n))
        # The grams left out number least - 1 at most, so every similar row holds one of those that are looked up.
        for gram, times in sorted(mine.items(), key=lambda item: len(lists.get(item[0], ()))):
            if uncovered <= 0:
                break
            uncovered -= times
            for place in lists.get(gram, ()):
                hits[place] += times
        if not hits:
            return
        counts = [Counter(self.grams.of(row, order)) for order in range(1, ORDER + 1)]
        lengths = window(length, self.threshold)
        for place in sorted(hits):
            other = self.order_of[place]
            if other == row or self.lengths[other] not in lengths:
                continue
            if hits[place] + least - 1 < need(n, length, self.lengths[other], self.threshold):
                continue
            score = self._similarity(counts, length, other)
            if score is not None:
                yield other, score

    def _similarity(self, counts: list[Counter], length: int, other: int) -> float | None:
        matches = [0] * ORDER
        for n in range(ORDER, 0, -1):
            matches[n - 1] = _shared(counts[n - 1], self.grams.of(other, n))
            if matches[n - 1] < need(n, length, self.lengths[other], self.threshold):
                return None
        score = similarity(matches, length, self.lengths[other])
        return score if score >= self.threshold - GUARD else None


def _shared(counts: Counter, grams: list[int]) -> int:
    """Return M_n: how many of `grams` find a partner in `counts`."""
    used: dict[int, int] = {}
    for gram in grams:
        have = counts.get(gram, 0)
        if have > used.get(gram, 0):
            used[gram] = used.get(gram, 0) + 1
    return sum(used.values())
