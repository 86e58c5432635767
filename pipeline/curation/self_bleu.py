"""Corpus self-BLEU, to report how diverse a set is: the mean BLEU of each row against all others (Texygen)."""

import numpy as np

from pipeline.curation.bleu import FLOOR, ORDER
from pipeline.curation.ngrams import Ngrams

SLICE = 1 << 16


def best_matches(grams: Ngrams, here: np.ndarray) -> np.ndarray:
    """Return M_n, (4, rows), of each row against all others that are `here`, clipped by the largest of their counts.

    About linear: the largest count another row has is the corpus's largest or, for the row that alone has it, the
    second largest. No two rows that are here are equal.
    """
    from pipeline.curation import kernels_grams

    starts, n_grams = grams.tokens.starts, len(grams.counts)
    return np.stack([kernels_grams.best_matches(ids, starts, here, n_grams) for ids in grams.ids])


def self_bleu(matches: np.ndarray, lengths: np.ndarray, copies: np.ndarray) -> float | None:
    """Return the mean over rows, 0..1, lower is more diverse; None for fewer than two rows with tokens.

    Row r stands copies[r] times, 0 leaves it out; `matches` are the best ones among the others.
    """
    here = np.flatnonzero((copies > 0) & (lengths > 0))
    lengths, copies = lengths[here], copies[here]
    if copies.sum() < 2:
        return None
    closest, scores = _closest(lengths), np.empty(len(here))
    for at in range(0, len(here), SLICE):  # arrays as long as a large corpus cost more than what is done with them
        some = slice(at, at + SLICE)
        scores[some] = _scores(matches[:, here[some]], lengths[some], closest[some])
    # against a copy of itself a row scores 1
    return float(np.where(copies > 1, copies, scores).sum() / copies.sum())


def _scores(matches: np.ndarray, lengths: np.ndarray, closest: np.ndarray) -> np.ndarray:
    """Return BLEU of rows with these best matches, lengths and closest lengths of others."""
    logs, order = np.zeros(len(lengths)), np.minimum(lengths, ORDER)
    for n in range(ORDER):
        shares = np.where(matches[n] > 0, matches[n], FLOOR) / np.maximum(lengths - n, 1)
        logs += np.where(n < order, np.log(shares), 0.0)
    scores = np.exp(logs / order + np.minimum(0.0, 1 - closest / lengths))
    return np.where(matches[0] == 0, 0.0, scores)


def _closest(lengths: np.ndarray) -> np.ndarray:
    """Return per row the length among the others that is nearest to its own, the shorter one on a tie."""
    counts = np.bincount(lengths)
    ordered = np.flatnonzero(counts)
    at = (np.cumsum(counts > 0) - 1)[lengths]
    below = np.where(at > 0, ordered[np.maximum(at - 1, 0)], -(10**9))
    above = np.where(at + 1 < len(ordered), ordered[np.minimum(at + 1, len(ordered) - 1)], 10**9)
    nearest = np.where(lengths - below <= above - lengths, below, above)
    return np.where(counts[lengths] > 1, lengths, nearest)
