import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.bleu import GUARD, ORDER
from pipeline.curation.increment import KEPT, extend_witnesses, find_least_shared, survey_rows
from pipeline.curation.near_duplicates import assign_roles, find_near_duplicates
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.self_bleu import count_best_matches
from tests.support.sim import ROW, ROWS, THRESHOLD, oracle_sim, shared, tokens_of


def judge(tokens, threshold):
    first = tokens.find_first_equal()
    grams = Ngrams(tokens, assign_roles(first))
    witnesses = find_near_duplicates(tokens, threshold, grams=grams)
    present = first == np.arange(len(first))
    return first, witnesses, (count_best_matches(grams, present), count_best_matches(grams, witnesses.kept))


@pytest.mark.slow
@given(rows=ROWS, threshold=THRESHOLD, share=st.floats(0, 1))
@settings(max_examples=100)
def test_new_rows_behind_judged_ones_give_what_all_give_at_once(rows, threshold, share):
    tokens = tokens_of(rows)
    done = int(len(rows) * share)
    before, new = tokens.take(np.arange(done)), tokens.take(np.arange(done, len(rows)))
    first, whole, matches = judge(tokens, threshold)
    _, witnesses, old_matches = judge(before, threshold)
    extended, new_matches = extend_witnesses(before, first, witnesses, old_matches, new, threshold)
    assert extended.row.tolist() == whole.row.tolist()
    assert extended.score.tolist() == whole.score.tolist()
    assert extended.same.tolist() == whole.same.tolist()
    assert [some.tolist() for some in new_matches] == [some.tolist() for some in matches]


@pytest.mark.slow
@given(many=ROWS, few=ROWS, threshold=THRESHOLD)
def test_a_survey_overlooks_no_similar_row(many, few, threshold):
    tokens = tokens_of([*many, *few])
    ours, theirs = tokens.take(np.arange(len(many))), tokens.take(np.arange(len(many), len(tokens)))
    near = survey_rows(ours, np.full(len(many), KEPT, np.int8), theirs, threshold).near
    for row, words in enumerate(many):
        assert near[row] or all(oracle_sim(words, other) < threshold - GUARD for other in few)


@given(a=ROW, b=ROW, threshold=THRESHOLD)
def test_similar_rows_share_at_least_the_bound(a, b, threshold):
    least = find_least_shared(np.array([len(a)]), np.array([len(b)]), threshold)
    if oracle_sim(a, b) >= threshold - GUARD:
        assert all(shared(n, a, b) >= least[n - 1, len(a)] for n in range(1, ORDER + 1))
