"""Which words a policy has met that was trained in the offline world alone."""

import functools

from pipeline.text.clean import clean, words
from pipeline.world.corpus import make_queries

KNOWN_SHARE = 0.5
"""ours: below it the tiny policy writes of something else"""


def is_readable(query: str, n: int, seed: int) -> bool:
    """Return whether at least half of a query's words are in the `n` queries that the offline world makes by `seed`."""
    of_query = words(query)
    met = _words_of(n, seed)
    return bool(of_query) and sum(word in met for word in of_query) >= KNOWN_SHARE * len(of_query)


@functools.cache
def _words_of(n: int, seed: int) -> frozenset[str]:
    # its few sentences in other scripts teach nothing but themselves
    return frozenset(word for raw in make_queries(n, seed) for word in words(clean(raw["query"])) if word.isascii())
