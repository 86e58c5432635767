"""Finds the queries that resemble a given list: they would be no test, or teach a copied answer."""

from collections.abc import Sequence

import numpy as np

from pipeline.clean import tokens
from pipeline.curation.ngrams import NUMBERED, PRESENT, Ngrams
from pipeline.curation.similar import SimilarIndex
from pipeline.curation.tokens import Tokens


def resembling(
    said: Tokens, rows: np.ndarray, listed: Sequence[str], threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (which of `rows`, the first of the `listed` texts that each is similar to, their sims)."""
    import polars as pl

    lines = pl.Series("words", [" ".join(tokens(text)) for text in listed], pl.String)
    both, n_rows = said.followed_by(lines), len(said)
    # only what the list says gets numbers: a row is looked at through those
    role = np.zeros(len(both), np.int8)
    role[rows], role[n_rows:] = PRESENT, NUMBERED
    index = SimilarIndex(Ngrams(both, role), threshold, len(listed))
    index.add(range(n_rows, len(both)))
    witness, score = np.full(len(both), -1, np.int32), np.zeros(len(both))
    index.first_similar(rows.astype(np.int32), witness, score)
    gone = rows[witness[rows] >= 0]
    return gone, witness[gone] - n_rows, score[gone]
