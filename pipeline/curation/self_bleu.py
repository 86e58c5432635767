"""Corpus self-BLEU, to report how diverse a set is: the mean BLEU of each row against all others (Texygen)."""

import numpy as np

from pipeline.curation.bleu import ORDER
from pipeline.curation.ngrams import Ngrams


def self_bleu(grams: Ngrams, copies: np.ndarray) -> float | None:
    """Return the mean over rows, 0..1, lower is more diverse; None for fewer than two rows with tokens.

    Row r of `grams` stands copies[r] times, 0 leaves it out; no two of the others are equal. Exact and about linear:
    against all other rows an n-gram's clip is the largest count any of them has, which is the corpus's largest count
    or, for the row that alone has it, the second largest.
    """
    from pipeline.curation import kernels

    lengths = grams.tokens.lengths
    copies = np.where(lengths > 0, copies, 0)
    here = copies > 0
    if copies.sum() < 2:
        return None
    starts = grams.tokens.starts
    matches = [kernels.best_matches(ids, starts, here, len(grams.counts))[here] for ids in grams.ids]
    lengths, copies = lengths[here], copies[here]
    logs, order = np.zeros(len(lengths)), np.minimum(lengths, ORDER)
    for n in range(ORDER):
        shares = np.where(matches[n] > 0, matches[n], kernels.FLOOR) / np.maximum(lengths - n, 1)
        logs += np.where(n < order, np.log(shares), 0.0)
    scores = np.exp(logs / order + np.minimum(0.0, 1 - _closest(lengths) / lengths))
    scores = np.where(matches[0] == 0, 0.0, scores)
    # against a copy of itself a row scores 1
    return float(np.where(copies > 1, copies, scores).sum() / copies.sum())


def _closest(lengths: np.ndarray) -> np.ndarray:
    """Return per row the length among the others that is nearest to its own, the shorter one on a tie."""
    ordered, counts = np.unique(lengths, return_counts=True)
    at = np.searchsorted(ordered, lengths)
    below = np.where(at > 0, ordered[np.maximum(at - 1, 0)], -(10**9))
    above = np.where(at + 1 < len(ordered), ordered[np.minimum(at + 1, len(ordered) - 1)], 10**9)
    nearest = np.where(lengths - below <= above - lengths, below, above)
    return np.where(counts[at] > 1, lengths, nearest)
