import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from pipeline.curation.bleu import GUARD, ORDER, shared, sim
from pipeline.curation.diverse import Witnesses, diverse, roles
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.self_bleu import best_matches, self_bleu
from pipeline.curation.similar import SimilarIndex
from pipeline.curation.tokens import tokens_of_rows

# few words, so that rows are often alike, and lengths around the order of the n-grams
ROW = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=9).map(tuple)
VARIED = st.tuples(ROW, st.lists(st.sampled_from("abcdefg"), max_size=2)).map(lambda pair: (*pair[0], *pair[1]))
ROWS = st.lists(ROW | VARIED, max_size=24)
THRESHOLD = st.sampled_from([0.05, 0.3, 0.5, 0.7, 0.9, 1.0])


def oracle_bleu(hypothesis, reference):
    """sacrebleu's sentence BLEU with a floor of 0.1 matches, effective order, words as they stand."""
    bleu = BLEU(smooth_method="floor", smooth_value=0.1, effective_order=True, tokenize="none")
    return bleu.sentence_score(" ".join(hypothesis), [" ".join(reference)]).score / 100


def oracle_sim(a, b):
    return max(oracle_bleu(a, b), oracle_bleu(b, a)) if set(a) & set(b) else 0.0


def oracle_witnesses(rows, threshold):
    """Compare every row with every kept one: None for kept, else the first kept row that is similar."""
    kept, found = [], []
    for row, words in enumerate(rows):
        near = (other for other in kept if oracle_sim(words, rows[other]) >= threshold - GUARD)
        found.append(next(near, None))
        if found[-1] is None:
            kept.append(row)
    return found


def found(rows, threshold, **how):
    """Return (witness or None, score, same) for each row."""
    out = diverse(tokens_of_rows(rows), threshold, **how)
    return [
        (None if witness < 0 else witness, score, same)
        for witness, score, same in zip(out.row.tolist(), out.score.tolist(), out.same.tolist(), strict=True)
    ]


def witnesses(rows, threshold, **how):
    return [witness for witness, _, _ in found(rows, threshold, **how)]


def kept(rows, threshold):
    return [row for row, witness in zip(rows, witnesses(rows, threshold), strict=True) if witness is None]


@given(a=ROW, b=ROW)
@settings(max_examples=300, deadline=None)
def test_sim_is_what_sacrebleu_says_in_the_better_direction(a, b):
    assert sim(a, b) == pytest.approx(oracle_sim(a, b), abs=1e-9)
    assert sim(a, b) == sim(b, a)


@given(a=ROW)
def test_a_query_is_wholly_similar_to_itself_however_short(a):
    assert sim(a, a) == pytest.approx(1.0)


def test_a_text_is_not_similar_to_one_without_a_word_in_common():
    assert sim(("a", "b"), ("c", "d")) == 0.0
    assert sim((), ("a",)) == 0.0


@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=200, deadline=None)
def test_the_kept_and_their_witnesses_are_those_of_brute_force(rows, threshold):
    assert witnesses(rows, threshold) == oracle_witnesses(rows, threshold)


@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_no_two_kept_rows_are_similar(rows, threshold):
    left = kept(rows, threshold)
    for at, words in enumerate(left):
        assert all(oracle_sim(words, other) < threshold - GUARD for other in left[:at])


@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_every_dropped_row_has_a_kept_earlier_witness_with_its_score(rows, threshold):
    out = found(rows, threshold)
    for row, (witness, score, same) in enumerate(out):
        if witness is not None:
            assert witness < row
            assert out[witness][0] is None
            assert score == pytest.approx(oracle_sim(rows[row], rows[witness]), abs=1e-9)
            assert same == (rows[row] == rows[witness])


@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_filtering_again_changes_nothing(rows, threshold):
    left = kept(rows, threshold)
    assert kept(left, threshold) == left == kept(rows, threshold)


@given(rows=ROWS, threshold=THRESHOLD, share=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_more_rows_behind_change_nothing_before(rows, threshold, share):
    first = int(len(rows) * share)
    assert found(rows[:first], threshold) == found(rows, threshold)[:first]


@given(rows=ROWS, threshold=THRESHOLD, share=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_judging_the_rows_behind_alone_gives_what_judging_all_gives(rows, threshold, share):
    first = int(len(rows) * share)
    whole = diverse(tokens_of_rows(rows), threshold)
    before = Witnesses(whole.row[:first], whole.score[:first], whole.same[:first])
    assert found(rows, threshold, before=before) == found(rows, threshold)


@given(rows=ROWS, threshold=THRESHOLD, block=st.integers(1, 30), threads=st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_blocks_and_threads_change_nothing(rows, threshold, block, threads):
    assert found(rows, threshold, block=block, threads=threads) == found(rows, threshold, threads=1)


@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_copies_behind_change_nothing(rows, threshold):
    assert kept([*rows, *rows], threshold) == kept(rows, threshold)


@given(a=ROW, b=ROW, threshold=st.floats(0.05, 1))
@settings(max_examples=300, deadline=None)
def test_a_similar_pair_shares_at_least_what_the_bound_says(a, b, threshold):
    from pipeline.curation import kernels_similar

    if oracle_sim(a, b) >= threshold - GUARD:
        for n in range(1, ORDER + 1):
            assert shared(n, a, b) >= kernels_similar.need(n, len(a), len(b), threshold)


def test_an_exact_tie_counts_as_similar_though_floats_fall_short_of_it():
    # a run of 8 words, two of 2 and five single ones in another order: 17/18 * 9/17 * 6/16 * 5/15 = 0.5^4
    runs = ["abcdefgh", "i", "jk", "l", "mn", "o", "p", "q"]
    a, b = tuple("".join(runs) + "x"), tuple("y" + "".join(reversed(runs)))
    assert sim(a, b) < 0.5
    assert witnesses([a, b], 0.5) == [None, 0]
    assert witnesses([a, b], 0.5 + 1e-6) == [None, None]


def test_a_similar_row_that_repeats_a_dropped_one_points_to_the_kept():
    rows = [tuple("abcdefgh"), tuple("abcdefgx"), tuple("abcdefgx")]
    assert [(witness, same) for witness, _, same in found(rows, 0.7)] == [(None, False), (0, False), (0, False)]


@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_the_index_finds_all_similar_rows_in_the_order_they_were_added(rows, threshold):
    index = SimilarIndex(Ngrams(tokens_of_rows(rows)), threshold)
    order = list(reversed(range(len(rows))))
    index.add(order)
    for row, words in enumerate(rows):
        others = [other for other in order if other != row]
        expected = [other for other in others if oracle_sim(words, rows[other]) >= threshold - GUARD]
        assert [other for other, _ in index.similar(row)] == expected


def corpus_self_bleu(rows):
    tokens = tokens_of_rows(rows)
    first = tokens.first_equal()
    copies = np.bincount(first, minlength=len(rows))
    return self_bleu(best_matches(Ngrams(tokens, roles(first)), copies > 0), tokens.lengths, copies)


@given(rows=st.lists(ROW, min_size=2, max_size=12))
@settings(max_examples=100, deadline=None)
def test_self_bleu_is_what_sacrebleu_says_against_all_other_rows(rows):
    bleu = BLEU(smooth_method="floor", smooth_value=0.1, effective_order=True, tokenize="none")
    texts = [" ".join(row) for row in rows]
    scores = []
    for at, text in enumerate(texts):
        others = texts[:at] + texts[at + 1 :]
        shares_a_word = set(text.split()) & {word for other in others for word in other.split()}
        scores.append(bleu.sentence_score(text, others).score / 100 if shares_a_word else 0.0)
    assert corpus_self_bleu(rows) == pytest.approx(sum(scores) / len(scores), abs=1e-9)


def test_self_bleu_of_one_row_is_unknown():
    assert corpus_self_bleu([("a",), ()]) is None
