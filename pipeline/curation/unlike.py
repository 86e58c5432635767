"""Finds the queries that resemble a given list: they would be no test, or teach a copied answer."""

from collections.abc import Sequence

import numpy as np

from pipeline.curation.appended import KEPT, surveyed
from pipeline.curation.ngrams import NUMBERED, PRESENT, Ngrams
from pipeline.curation.similar import SimilarIndex
from pipeline.curation.tokens import Tokens
from pipeline.text.clean import tokens


def resembling(
    said: Tokens, rows: np.ndarray, listed: Sequence[str], threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (which of `rows`, the first of the `listed` texts that each is similar to, their sims)."""
    import polars as pl

    lines = pl.Series("words", [" ".join(tokens(text)) for text in listed], pl.String)
    few = said.others(lines)
    sets = np.zeros(len(said), np.int8)
    sets[rows] = KEPT
    near = np.flatnonzero(surveyed(said, sets, few, threshold, counting=False).near)
    both, n_rows = said.take(near).and_then(few), len(near)
    # only what the list says gets numbers: a row is looked at through those
    role = np.repeat(np.array([PRESENT, NUMBERED], np.int8), [n_rows, len(few)])
    index = SimilarIndex(Ngrams(both, role), threshold, len(listed))
    index.add(range(n_rows, len(both)))
    witness, score = np.full(len(both), -1, np.int32), np.zeros(len(both))
    index.first_similar(np.arange(n_rows, dtype=np.int32), witness, score)
    gone = np.flatnonzero(witness[:n_rows] >= 0)
    return near[gone], witness[gone] - n_rows, score[gone]
