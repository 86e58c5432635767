import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from pipeline.curation.near_duplicates import assign_roles
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.self_bleu import average_self_bleu, count_best_matches
from tests.support.sim import ROW, tokens_of


def corpus_self_bleu(rows):
    tokens = tokens_of(rows)
    first = tokens.find_first_equal()
    copies = np.bincount(first, minlength=len(rows))
    return average_self_bleu(
        count_best_matches(Ngrams(tokens, assign_roles(first)), copies > 0), tokens.lengths, copies
    )


@given(rows=st.lists(ROW, min_size=2, max_size=12))
@settings(max_examples=100, deadline=None)
def test_self_bleu_is_what_sacrebleu_says_against_all_other_rows(rows):
    bleu = BLEU(smooth_method="floor", smooth_value=0.1, effective_order=True, tokenize="none")
    texts = [" ".join(row) for row in rows]
    scores = []
    for place, text in enumerate(texts):
        others = texts[:place] + texts[place + 1 :]
        shares_a_word = set(text.split()) & {word for other in others for word in other.split()}
        scores.append(bleu.sentence_score(text, others).score / 100 if shares_a_word else 0.0)
    assert corpus_self_bleu(rows) == pytest.approx(sum(scores) / len(scores), abs=1e-9)


def test_self_bleu_of_one_row_is_unknown():
    assert corpus_self_bleu([("a",), ()]) is None
