"""Draws pairs that neither length nor single words can tell apart, so that nothing but the preference is left to learn.

Ours; the papers train on all pairs.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.text.shortcuts import WARN_ABOVE, Floats, compute_auc, count_words, score_by_words
from schemas.base import Pair

ROUNDS = 5
"""Each round of words fits anew to the pairs that are left, which may lean on other words."""


def draw_balanced(pairs: Sequence[Pair], by: Literal["words", "length"]) -> list[Pair]:
    """Return the pairs of which, source by source, as many lean one way as the other; in the order of `pairs`."""
    kept: set[str] = set()
    for source in {pair.source for pair in pairs}:
        of_source = sorted((pair for pair in pairs if pair.source == source), key=lambda pair: pair.pair_id)
        drawn = balance_length(of_source) if by == "length" else balance_words(of_source)
        kept |= {pair.pair_id for pair in drawn}
    return [pair for pair in pairs if pair.pair_id in kept]


def balance_length(pairs: Sequence[Pair]) -> list[Pair]:
    """Return pairs in which the longer prompt wins as often as the shorter one, by as many words."""
    lengths = count_words(pairs)
    return [pairs[index] for index in match_signs(lengths[:, 0] - lengths[:, 1])]


def balance_words(pairs: Sequence[Pair]) -> list[Pair]:
    """Return pairs whose words point to the winner as often as to the loser, and as strongly."""
    left = list(pairs)
    for _ in range(ROUNDS):
        scores = score_by_words(left)
        if scores is None or compute_auc(scores[:, 0], scores[:, 1]) <= WARN_ABOVE:
            break
        left = [left[index] for index in match_signs(scores[:, 0] - scores[:, 1])]
    return left


def match_signs(leanings: Floats) -> list[int]:
    """Return the places of all zeros, and of as many positive as negative values, each matched by its size.

    `leanings` (n). The rarer sign is kept whole.
    """
    leanings = np.round(np.asarray(leanings, float), 9)
    order = np.argsort(np.abs(leanings), kind="stable")
    signs = {sign: [int(index) for index in order if np.sign(leanings[index]) == sign] for sign in (-1, 1)}
    rare, frequent = sorted(signs.values(), key=len)
    kept = [*np.flatnonzero(leanings == 0).tolist(), *rare]
    free = list(frequent)
    for index in rare:
        nearest = min(range(len(free)), key=lambda place: abs(abs(leanings[free[place]]) - abs(leanings[index])))
        kept.append(free.pop(nearest))
    return sorted(kept)
