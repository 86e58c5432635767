from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation import kernels_grams
from pipeline.curation.bleu import ORDER
from pipeline.curation.near_duplicates import assign_roles
from pipeline.curation.ngrams import Ngrams
from tests.support.sim import ROWS, tokens_of


def grams(row, n):
    return [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]


@given(rows=ROWS)
def test_every_n_gram_of_a_few_rows_has_one_number_of_its_order(rows):
    tokens = tokens_of(rows)
    ids, bases, *_ = kernels_grams.number_grams(tokens.words, tokens.starts, len(tokens.vocabulary))
    for n in range(1, ORDER + 1):
        number = {}
        for row, begin in zip(rows, tokens.starts, strict=False):
            for i, gram in enumerate(grams(row, n)):
                assert number.setdefault(gram, ids[n - 1, begin + i]) == ids[n - 1, begin + i]
        assert sorted(number.values()) == list(range(bases[n - 1], bases[n]))


@pytest.mark.slow
@given(rows=ROWS)
def test_the_best_matches_are_those_of_a_plain_loop(rows):
    tokens = tokens_of(rows)
    first = tokens.find_first_equal()
    present = first == np.arange(len(rows))
    numbered = Ngrams(tokens, assign_roles(first))
    for n in range(1, ORDER + 1):
        matches = kernels_grams.count_best_matches(
            numbered.ids[n - 1], tokens.starts, present, len(numbered.counts)
        ).tolist()
        for row, words in enumerate(rows):
            others = [Counter(grams(rows[other], n)) for other in np.flatnonzero(present) if other != row]
            best = {gram: max((other[gram] for other in others), default=0) for gram in set(grams(words, n))}
            clipped = sum(min(count, best[gram]) for gram, count in Counter(grams(words, n)).items())
            assert matches[row] == (clipped if present[row] else 0)


@pytest.mark.slow
@given(many=ROWS, few=ROWS.filter(bool), kept=st.lists(st.booleans(), min_size=24, max_size=24))
def test_a_survey_s_tops_are_those_of_a_plain_loop(many, few, kept):
    tokens = tokens_of([*many, *few])
    done = len(many)
    ours = tokens.take(np.arange(done))
    theirs = tokens.take(np.arange(done, done + len(few)))
    ids, bases, *table = kernels_grams.number_grams(theirs.words, theirs.starts, len(tokens.vocabulary))
    sets = np.array([2 if keep else 1 for keep in kept[:done]], np.int8)
    least = np.zeros((ORDER, 32), np.int32)
    near, tops = kernels_grams.survey(ours.words, ours.starts, sets, least, *table, bases[-1], True)
    assert near.tolist() == kept[:done]  # with nothing to share, every kept row may be similar
    for n in range(1, ORDER + 1):
        for row, begin in zip(few, theirs.starts, strict=False):
            for i, gram in enumerate(grams(row, n)):
                counts = sorted((grams(words, n).count(gram) for words in many), reverse=True)
                assert tops[ids[n - 1, begin + i], kernels_grams.DISTINCT] == (counts or [0])[0]
