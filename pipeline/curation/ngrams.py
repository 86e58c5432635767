"""The n-grams of a corpus as integers: equal grams get equal ids, and no hash is trusted."""

import numpy as np

from pipeline.curation.arrays import Int8s, Int32s
from pipeline.curation.bleu import ORDER
from pipeline.curation.tokens import Tokens

ABSENT, PRESENT, NUMBERED = 0, 1, 2
"""A row's role: it does not count, it counts, or it counts and its n-grams get numbers."""


class Ngrams:
    """Ids of the n-grams (n = 1..4) that occur twice or more, at least once in a NUMBERED row; -1 for all others.

    ids[n - 1, i] is the id of the n-gram at position i of `tokens.words`, unique over all n; order n owns the ids
    bases[n - 1] : bases[n]. counts[id] is how often it occurs. A gram that occurs once matches nobody.
    """

    def __init__(self, tokens: Tokens, role: Int8s | None = None) -> None:
        from pipeline.curation import kernels_grams

        self.tokens = tokens
        self.role = np.full(len(tokens), NUMBERED, np.int8) if role is None else role
        words, starts = tokens.words, tokens.starts
        self.ids: Int32s = np.empty((ORDER, len(words)), np.int32)
        counts = [kernels_grams.number_repeated_words(words, starts, self.role, len(tokens.vocabulary), self.ids[0])]
        for n in range(1, ORDER):
            counts.append(kernels_grams.number_repeated_grams(starts, self.role, self.ids[n - 1], self.ids[n]))
        self.bases = np.cumsum([0, *map(len, counts)])
        for n in range(1, ORDER):
            self.ids[n][self.ids[n] >= 0] += np.int32(self.bases[n])
        self.counts: Int32s = np.concatenate(counts)
