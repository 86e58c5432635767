"""Means over queries with intervals by bootstrap, and how alike an arm's prompts are."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

DRAWS_AT_ONCE = 2_000_000  # bounds the memory of a resampling at 16 MB, whatever the number of queries


def mean_with_interval(values: Iterable[float], resamples: int, seed: int) -> tuple[float, float, float]:
    """Return the mean and its 95 % percentile bootstrap interval (mean, low, high), over units that are all alike.

    The draws depend on the seed and the number of values alone, so adding an arm changes no other arm's interval.
    Raises ValueError when there are no values.
    """
    (interval,) = means_with_intervals([list(values)], resamples, seed)
    return interval


def means_with_intervals(
    columns: Sequence[Sequence[float]], resamples: int, seed: int
) -> list[tuple[float, float, float]]:
    """Return `mean_with_interval` of each column; those of one length are resampled by the same draws, in one go."""
    if not all(columns):
        raise ValueError("no values, so no mean")
    intervals: dict[int, tuple[float, float, float]] = {}
    by_length = defaultdict(list)
    for number, column in enumerate(columns):
        by_length[len(column)].append(number)
    for length, numbers in by_length.items():
        values = np.array([columns[number] for number in numbers], dtype=float).T
        means = np.concatenate([counts @ values for counts in _draw_counts(length, resamples, seed)]) / length
        low, high = np.percentile(means, [2.5, 97.5], axis=0)
        # six digits: the last bits of a sum differ between processors, and equal inputs give equal bytes
        rounded = (np.round(row, 6).tolist() for row in (values.mean(axis=0), low, high))
        intervals.update(zip(numbers, zip(*rounded, strict=True), strict=True))
    return [intervals[number] for number in range(len(columns))]


def _draw_counts(length: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each of `length` units is drawn, a row a resample, so many rows as DRAWS_AT_ONCE holds."""
    draws = np.random.default_rng([seed, length])
    at_once = max(1, DRAWS_AT_ONCE // length)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = draws.integers(length, size=(rows, length))
        drawn += np.arange(rows)[:, None] * length
        yield np.bincount(drawn.ravel(), minlength=rows * length).reshape(rows, length).astype(float)


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
