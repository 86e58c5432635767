"""Means over queries with intervals by bootstrap, and how alike an arm's prompts are."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

DRAWS_AT_ONCE = 2_000_000  # bounds the memory of a resampling at 16 MB, whatever the number of queries


def mean_with_interval(values: Iterable[float], resamples: int, seed: int) -> tuple[float, float, float]:
    """Return the mean and its 95 % percentile bootstrap interval (mean, low, high), over units that are all alike.

    The draws depend on the seed and the number of values alone, so adding an arm changes no other arm's interval.
    Raises ValueError when there are no values.
    """
    values = np.asarray(list(values), dtype=float)
    if not len(values):
        raise ValueError("no values, so no mean")
    draws = np.random.default_rng([seed, len(values)])
    at_once = max(1, DRAWS_AT_ONCE // len(values))
    means = np.concatenate(
        [
            values[draws.integers(len(values), size=(min(at_once, resamples - start), len(values)))].mean(axis=1)
            for start in range(0, resamples, at_once)
        ]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    # six digits: the last bits of a sum differ between processors, and equal inputs give equal bytes
    return round(float(values.mean()), 6), round(float(low), 6), round(float(high), 6)


def distinct_2(texts: list[str]) -> list[float]:
    """Return for each text the mean, over its bigrams, of 1 / (times the bigram occurs in all texts); 0 to 1.

    It is distinct-2 (unique bigrams over bigrams, Li et al. 2016) averaged by text, so that every query has a value
    and paired differences can be taken. A text of one word has no bigram and counts as wholly distinct.
    """
    bigrams = [_bigrams(text) for text in texts]
    occurs = Counter(pair for pairs in bigrams for pair in pairs)
    return [sum(1 / occurs[pair] for pair in pairs) / len(pairs) if pairs else 1.0 for pairs in bigrams]


def _bigrams(text: str) -> list[tuple[str, str]]:
    words = text.lower().split()
    return list(zip(words, words[1:], strict=False))
