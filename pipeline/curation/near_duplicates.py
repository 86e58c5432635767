"""Keeps queries diverse: a row leaves when it equals or resembles a row kept before it (VPO 3.2; the rule is ours)."""

from dataclasses import dataclass

import numpy as np

from pipeline.curation.arrays import Bools, Floats, Int8s, Int32s
from pipeline.curation.ngrams import ABSENT, NUMBERED, PRESENT, Ngrams
from pipeline.curation.similarity_index import SimilarityIndex
from pipeline.curation.tokens import Tokens

BLOCK = 8192
"""Rows that are compared at once with those kept before them. Ours: enough work for each thread."""


@dataclass(frozen=True)
class Witnesses:
    """For each row the kept, earlier row that it leaves for (-1: it stays), sim to it, and whether they are equal."""

    row: Int32s
    score: Floats
    same: Bools

    @property
    def kept(self) -> Bools:
        """Which rows stay, (rows,)."""
        return self.row < 0


def assign_roles(first: Int32s, done: int = 0) -> Int8s:
    """Return each row's role among n-grams: a repeated row never counts, rows before `done` need no numbers.

    first[r] is the first row that equals r.
    """
    role = np.where(first == np.arange(len(first)), NUMBERED, ABSENT).astype(np.int8)
    role[:done] = np.minimum(role[:done], PRESENT)
    return role


def find_near_duplicates(
    tokens: Tokens,
    max_similarity: float,
    before: Witnesses | None = None,
    block: int = BLOCK,
    threads: int | None = None,
    grams: Ngrams | None = None,
) -> Witnesses:
    """Return for each row, in order, whether it is kept, or the first kept row with sim >= `max_similarity` (0..1).

    Greedy in input order, so the kept rows of a prefix are a prefix of the kept rows; `before` is the result for the
    first rows, which are then not judged again. A row without tokens is kept once. Dropping by corpus self-BLEU
    instead would let one threshold mean different things at different sizes.
    """
    first = tokens.find_first_equal()
    done = 0 if before is None else len(before.row)
    grams = grams or Ngrams(tokens, assign_roles(first, done))
    witness, score = np.full(len(tokens), -1, np.int32), np.zeros(len(tokens))
    same = first != np.arange(len(tokens))
    if before is not None:
        witness[:done], score[:done], same[:done] = before.row, before.score, before.same
    old = np.flatnonzero(witness[:done] < 0)
    fresh = (np.flatnonzero(~same[done:]) + done).astype(np.int32)
    index = SimilarityIndex(grams, max_similarity, len(old) + len(fresh))
    index.add(old)
    for begin in range(0, len(fresh), block):
        # the block against the rows kept before it, then its survivors one by one: what the sequential greedy gives
        rows = fresh[begin : begin + block]
        index.find_first_similar(rows, witness, score, threads)
        index.keep(rows, witness, score)
    resolve_repeats(first, witness, score, same, done)
    return Witnesses(witness, score, same)


def resolve_repeats(first: Int32s, witness: Int32s, score: Floats, same: Bools, done: int) -> None:
    """Write the fate of the rows from `done` on that repeat another: they leave for it, or for its witness."""
    rows = np.flatnonzero(same[done:]) + done
    original = first[rows]
    witness[rows] = np.where(witness[original] < 0, original, witness[original])
    score[rows] = np.where(witness[original] < 0, 1.0, score[original])
    same[rows] = witness[original] < 0
