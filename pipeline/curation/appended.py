"""Rows behind many that are done: finds the few of these that matter, so that the work is that of the new rows.

What the many say is read once, row by row, and looked up among the n-grams of the few; nothing is made for it.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.curation.bleu import ORDER
from pipeline.curation.diverse import Witnesses, diverse, repeated
from pipeline.curation.tokens import Tokens

PRESENT, KEPT = 1, 2


@dataclass(frozen=True)
class Surveyed:
    """Which of many rows may be similar to one of a few, the n-grams of the few and what the many count in them."""

    near: np.ndarray
    ids: np.ndarray
    bases: np.ndarray
    tops: np.ndarray


def surveyed(many: Tokens, sets: np.ndarray, few: Tokens, threshold: float, counting: bool = True) -> Surveyed:
    """Look at `many` rows, of which sets[row] is 0 (not here), PRESENT or KEPT, for what a `few` others say.

    `few` has the vocabulary of `many` at its beginning. Only kept rows are `near`.
    """
    from pipeline.curation import kernels_grams

    ids, bases, *table = kernels_grams.number_grams(few.words, few.starts, len(few.vocabulary))
    least = least_shared(many.lengths, few.lengths, threshold)
    near, tops = kernels_grams.survey(many.words, many.starts, sets, least, *table, bases[-1], counting)
    return Surveyed(near, ids, bases, tops)


def least_shared(lengths: np.ndarray, others: np.ndarray, threshold: float) -> np.ndarray:
    """Return least[n - 1, length]: how many n-grams at least a row shares with a similar one of any of the `others`."""
    from pipeline.curation import kernels_similar

    size = max(lengths.max(initial=0), others.max(initial=0)) + 1
    mine, theirs = (np.bincount(some, minlength=size) > 0 for some in (lengths, others))
    occurs = np.flatnonzero(mine | theirs)
    needs, _ = kernels_similar.need_table(occurs, threshold)
    least = np.full((ORDER, size), kernels_similar.IMPOSSIBLE, np.int32)
    least[:, occurs] = needs[:, :, theirs[occurs]].min(axis=2, initial=kernels_similar.IMPOSSIBLE)
    return least


def appended(
    before: Tokens, first: np.ndarray, found: Witnesses, matches: tuple, new: Tokens, max_similarity: float
) -> tuple[Witnesses, tuple[np.ndarray, np.ndarray]]:
    """Return what `diverse` and `best_matches` say of the rows `before` and the `new` ones behind them.

    `found` and `matches` are what they said of those before, first[r] is the first of all rows that equals r.
    """
    from pipeline.curation import kernels_grams

    done, own = len(before), np.arange(len(first))
    sets = np.where(found.kept, KEPT, PRESENT).astype(np.int8)
    sets[first[:done] != own[:done]] = 0
    seen = surveyed(before, sets, new, max_similarity)
    distinct = (first == own)[done:]
    near, fresh = np.flatnonzero(seen.near), np.flatnonzero(distinct)
    # similar rows are looked for among those alone that may be
    known = Witnesses(np.full(len(near), -1, np.int32), np.zeros(len(near)), np.zeros(len(near), bool))
    judged = diverse(before.take(near).and_then(new.take(fresh)), max_similarity, known)
    rows = np.concatenate([near, fresh + done]).astype(np.int32)
    witness, score = np.full(len(first), -1, np.int32), np.zeros(len(first))
    same = first != own
    witness[:done], score[:done], same[:done] = found.row, found.score, found.same
    at = judged.row[len(near) :]
    witness[fresh + done] = np.where(at < 0, np.int32(-1), rows[at])
    score[fresh + done] = judged.score[len(near) :]
    repeated(first, witness, score, same, done)
    both = Witnesses(witness, score, same)
    matches = tuple(np.concatenate([old, np.zeros((ORDER, len(new)), np.int32)], axis=1) for old in matches)
    for here, column, counts in zip(
        (distinct, both.kept[done:]), (kernels_grams.DISTINCT, kernels_grams.KEPT), matches, strict=True
    ):
        tops = np.ascontiguousarray(seen.tops[:, column : column + 3])
        kernels_grams.matches_behind(seen.ids, seen.bases, new.starts, here, tops, done, counts)
    return both, matches
