"""Finds the queries that resemble a given list: they would be no test, or teach a copied answer."""

from collections.abc import Sequence

import numpy as np

from pipeline.curation.ngrams import NUMBERED, PRESENT, Ngrams
from pipeline.curation.similar import SimilarIndex
from pipeline.curation.tokens import tokens_of


def resembling(said, listed: Sequence[str], threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows, the first of `listed` that each is similar to, their sims); all are polars texts of tokens."""
    import polars as pl

    n_rows = len(said)
    tokens = tokens_of(pl.concat([said, pl.Series(list(listed), dtype=pl.String)]))
    # only what the list says gets numbers: a row is looked at through those
    role = np.full(len(tokens), PRESENT, np.int8)
    role[n_rows:] = NUMBERED
    index = SimilarIndex(Ngrams(tokens, role), threshold, len(listed))
    for row in range(n_rows, len(tokens)):
        index.add(row)
    witness, score = np.full(len(tokens), -1, np.int32), np.zeros(len(tokens))
    index.first_similar(np.arange(n_rows, dtype=np.int32), witness, score)
    rows = np.flatnonzero(witness >= 0)
    return rows, witness[rows] - n_rows, score[rows]
