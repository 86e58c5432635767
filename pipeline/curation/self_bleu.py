"""Corpus self-BLEU, to report how diverse a set is: the mean BLEU of each row against all others (Texygen)."""

from collections.abc import Sequence

import numpy as np

from pipeline.curation.bleu import FLOOR, ORDER
from pipeline.curation.ngrams import Ngrams


def self_bleu(rows: Sequence[Sequence[str]]) -> float | None:
    """Return the mean over rows, 0..1, lower is more diverse; None for fewer than two rows with tokens.

    Exact and about linear: against all other rows an n-gram's clip is the largest count any of them has, which is the
    corpus's largest count or, for the row that alone has it, the second largest.
    """
    rows = [row for row in rows if row]
    if len(rows) < 2:
        return None
    grams = Ngrams(rows)
    lengths = grams.lengths
    owner = np.repeat(np.arange(len(rows)), lengths)
    logs, order = np.zeros(len(rows)), np.minimum(lengths, ORDER)
    for n in range(1, ORDER + 1):
        matched = _matches(grams.ids[n - 1], owner, len(rows))
        if n == 1:
            silent = matched == 0
        sizes = np.maximum(lengths - n + 1, 1)
        logs += np.where(n <= order, np.log(np.where(matched > 0, matched, FLOOR) / sizes), 0.0)
    scores = np.exp(logs / order + np.minimum(0.0, 1 - _closest(lengths) / lengths))
    return float(np.where(silent, 0.0, scores).mean())


def _matches(ids: np.ndarray, owner: np.ndarray, rows: int) -> np.ndarray:
    """Return per row how many of its n-grams another row shares, clipped."""
    present = ids >= 0
    if not present.any():
        return np.zeros(rows)
    pairs, counts = np.unique(np.stack([ids[present], owner[present]]), axis=1, return_counts=True)
    gram, row = pairs
    order = np.lexsort((-counts, gram))
    gram, row, counts = gram[order], row[order], counts[order]
    first = np.flatnonzero(np.r_[True, gram[1:] != gram[:-1]])
    group = np.cumsum(np.r_[True, gram[1:] != gram[:-1]]) - 1
    largest = counts[first]
    second = np.where(np.r_[gram, -1][first + 1] == gram[first], np.r_[counts, 0][first + 1], 0)
    is_first = np.zeros(len(gram), bool)
    is_first[first] = True
    clip = np.where(is_first, second[group], largest[group])
    return np.bincount(row, weights=np.minimum(counts, clip), minlength=rows)


def _closest(lengths: np.ndarray) -> np.ndarray:
    """Return per row the length among the others that is nearest to its own, the shorter one on a tie."""
    ordered, counts = np.unique(lengths, return_counts=True)
    at = np.searchsorted(ordered, lengths)
    below = np.where(at > 0, ordered[np.maximum(at - 1, 0)], -(10**9))
    above = np.where(at + 1 < len(ordered), ordered[np.minimum(at + 1, len(ordered) - 1)], 10**9)
    nearest = np.where(lengths - below <= above - lengths, below, above)
    return np.where(counts[at] > 1, lengths, nearest)
