import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.filters import filter_rows
from schemas.reasons import Reason
from tests.pipeline.curation.test_saved_state import TEXT, facts, rows_of


@pytest.fixture(scope="session")
def params(laptop):
    return laptop.queries.model_copy(update={"max_similarity": 0.9, "min_words": 1})


@pytest.mark.slow
@given(texts=st.lists(TEXT, max_size=30), share=st.floats(0, 1), threshold=st.sampled_from([0.2, 0.35, 0.5, 0.7, 0.9]))
@settings(max_examples=150, deadline=None)
def test_rows_added_behind_give_what_all_rows_give_at_once(params, texts, share, threshold):
    params = params.model_copy(update={"max_similarity": threshold})
    rows = rows_of(texts, params)
    first = filter_rows(rows[: int(len(rows) * share)], params)
    assert facts(filter_rows(rows[first.n_rows :], params, first)) == facts(filter_rows(rows, params))


def test_a_row_is_refused_repeats_another_or_stays(params):
    result = filter_rows(rows_of(["a red fox", "", "a red fox", "www.x.org", "a gun on snow"], params), params)
    assert result.refused.select("row", "reason").rows() == [(1, Reason.EMPTY), (3, Reason.URL)]
    assert result.passed.tolist() == [0, 2, 4]
    assert result.witnesses.kept.tolist() == [True, False, True]
    assert result.facts["candidate"].to_list() == [False, False, True]
    assert len(result.strata) == 3


def test_self_bleu_counts_copies_before_the_filter_and_none_after(params):
    result = filter_rows(rows_of(["a red fox runs", "a red fox runs", "deep snow in the sun"], params), params)
    assert result.self_bleu["before"] == pytest.approx(2 / 3)
    assert result.self_bleu["after"] == 0.0
    assert np.isclose(result.witnesses.score[1], 1.0)
