"""Judges new rows behind many that are judged already: finds the few of these that matter, so that the work is small.

The many rows are read once, row by row, and looked up among the n-grams of the few; nothing is built for them.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.curation.arrays import Bools, Int8s, Int32s, Int64s
from pipeline.curation.bleu import ORDER
from pipeline.curation.near_duplicates import Witnesses, find_near_duplicates, resolve_repeats
from pipeline.curation.tokens import Tokens

PRESENT, KEPT = 1, 2
"""What a row of the many is in a survey, beside 0 (it does not count): distinct, or kept by the filter, too."""


@dataclass(frozen=True)
class Survey:
    """Which of many rows may be similar to one of a few, the n-grams of the few and their counts in the many.

    near: (many rows,). ids: (4, words of the few) and bases: (5,), as in `Ngrams`. tops: (n-grams of the few, 6), two
    triples (largest count, second largest, row of the largest) among the distinct rows and among the kept ones.
    """

    near: Bools
    ids: Int32s
    bases: Int64s
    tops: Int32s


def survey_rows(many: Tokens, sets: Int8s, few: Tokens, threshold: float, counting: bool = True) -> Survey:
    """Look at `many` rows, of which sets[row] is 0 (absent), PRESENT or KEPT, for the n-grams of a `few` others.

    `few` has the vocabulary of `many` at its beginning. Only kept rows are `near`. Without `counting` no tops are made.
    """
    from pipeline.curation import kernels_grams

    ids, bases, *table = kernels_grams.number_grams(few.words, few.starts, len(few.vocabulary))
    least = find_least_shared(many.lengths, few.lengths, threshold)
    near, tops = kernels_grams.survey(many.words, many.starts, sets, least, *table, bases[-1], counting)
    return Survey(near, ids, bases, tops)


def find_least_shared(lengths: Int64s, others: Int64s, threshold: float) -> Int32s:
    """Return least[n - 1, length]: how many n-grams at least a row shares with a similar one of any of the `others`."""
    from pipeline.curation import kernels_similar

    size = max(lengths.max(initial=0), others.max(initial=0)) + 1
    mine, theirs = (np.bincount(some, minlength=size) > 0 for some in (lengths, others))
    occurs = np.flatnonzero(mine | theirs)
    needs, _ = kernels_similar.tabulate_needs(occurs, threshold)
    least = np.full((ORDER, size), kernels_similar.IMPOSSIBLE, np.int32)
    least[:, occurs] = needs[:, :, theirs[occurs]].min(axis=2, initial=kernels_similar.IMPOSSIBLE)
    return least


def extend_witnesses(
    before: Tokens,
    first: Int32s,
    witnesses: Witnesses,
    matches: tuple[Int32s, Int32s],
    new: Tokens,
    max_similarity: float,
) -> tuple[Witnesses, tuple[Int32s, Int32s]]:
    """Return `find_near_duplicates` and `count_best_matches` for the rows `before` and the `new` ones behind them.

    `witnesses` and `matches` are the results for the rows before, first[r] is the first of all rows that equals r.
    """
    from pipeline.curation import kernels_grams

    done, own = len(before), np.arange(len(first))
    sets = np.where(witnesses.kept, KEPT, PRESENT).astype(np.int8)
    sets[first[:done] != own[:done]] = 0
    survey = survey_rows(before, sets, new, max_similarity)
    distinct = (first == own)[done:]
    near, fresh = np.flatnonzero(survey.near), np.flatnonzero(distinct)
    # similar rows are looked for only among those that may be similar
    kept = Witnesses(np.full(len(near), -1, np.int32), np.zeros(len(near)), np.zeros(len(near), bool))
    judged = find_near_duplicates(before.take(near).append(new.take(fresh)), max_similarity, kept)
    rows = np.concatenate([near, fresh + done]).astype(np.int32)
    witness, score = np.full(len(first), -1, np.int32), np.zeros(len(first))
    same = first != own
    witness[:done], score[:done], same[:done] = witnesses.row, witnesses.score, witnesses.same
    place = judged.row[len(near) :]
    witness[fresh + done] = np.where(place < 0, np.int32(-1), rows[place])
    score[fresh + done] = judged.score[len(near) :]
    resolve_repeats(first, witness, score, same, done)
    extended = Witnesses(witness, score, same)
    among_passed, among_kept = (np.concatenate([old, np.zeros((ORDER, len(new)), np.int32)], axis=1) for old in matches)
    for present, column, counts in (
        (distinct, kernels_grams.DISTINCT, among_passed),
        (extended.kept[done:], kernels_grams.KEPT, among_kept),
    ):
        tops = np.ascontiguousarray(survey.tops[:, column : column + 3])
        kernels_grams.extend_matches(survey.ids, survey.bases, new.starts, present, tops, done, counts)
    return extended, (among_passed, among_kept)
