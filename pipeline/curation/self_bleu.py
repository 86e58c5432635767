"""Corpus self-BLEU, to report how diverse a set is: the mean BLEU of each row against all others (Texygen)."""

import numpy as np

from pipeline.curation.arrays import Bools, Floats, Int32s, Int64s, Ints
from pipeline.curation.bleu import FLOOR, ORDER
from pipeline.curation.ngrams import Ngrams

SLICE = 1 << 16
"""Rows that are scored at once. Ours: arrays as long as a large corpus cost more than the arithmetic on them."""


def count_best_matches(grams: Ngrams, present: Bools) -> Int32s:
    """Return M_n, (4, rows), of each row against all others that are `present`, clipped by the largest of their counts.

    About linear: the largest count another row has is the corpus's largest or, for the row that alone has it, the
    second largest. No two rows that are present are equal.
    """
    from pipeline.curation import kernels_grams

    starts, n_grams = grams.tokens.starts, len(grams.counts)
    return np.stack([kernels_grams.count_best_matches(ids, starts, present, n_grams) for ids in grams.ids])


def average_self_bleu(matches: Int32s, lengths: Int64s, copies: Int64s) -> float | None:
    """Return the mean over rows, 0..1, lower is more diverse; None for fewer than two rows with tokens.

    Row r stands copies[r] times, 0 leaves it out; `matches`, (4, rows), are the best ones among the others.
    """
    present = np.flatnonzero((copies > 0) & (lengths > 0))
    lengths, copies = lengths[present], copies[present]
    if copies.sum() < 2:
        return None
    closest, scores = _find_closest_lengths(lengths), np.empty(len(present))
    for begin in range(0, len(present), SLICE):
        part = slice(begin, begin + SLICE)
        scores[part] = _score(matches[:, present[part]], lengths[part], closest[part])
    # against a copy of itself a row scores 1
    return float(np.where(copies > 1, copies, scores).sum() / copies.sum())


def _score(matches: Int32s, lengths: Int64s, closest: Ints) -> Floats:
    """Return BLEU of rows with these best matches, lengths and closest lengths of others."""
    logs, order = np.zeros(len(lengths)), np.minimum(lengths, ORDER)
    for n in range(ORDER):
        shares = np.where(matches[n] > 0, matches[n], FLOOR) / np.maximum(lengths - n, 1)
        logs += np.where(n < order, np.log(shares), 0.0)
    scores = np.exp(logs / order + np.minimum(0.0, 1 - closest / lengths))
    return np.where(matches[0] == 0, 0.0, scores)


def _find_closest_lengths(lengths: Int64s) -> Ints:
    """Return per row the length among the others that is nearest to its own, the shorter one on a tie."""
    counts = np.bincount(lengths)
    ordered = np.flatnonzero(counts)
    place = (np.cumsum(counts > 0) - 1)[lengths]
    below = np.where(place > 0, ordered[np.maximum(place - 1, 0)], -(10**9))
    above = np.where(place + 1 < len(ordered), ordered[np.minimum(place + 1, len(ordered) - 1)], 10**9)
    nearest = np.where(lengths - below <= above - lengths, below, above)
    return np.where(counts[lengths] > 1, lengths, nearest)
