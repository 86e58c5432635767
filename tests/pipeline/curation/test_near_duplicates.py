"""The filter against two oracles that share no code with it: every row compared with every kept one."""

import json
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from pipeline.curation.bleu import GUARD
from pipeline.curation.near_duplicates import Witnesses, find_near_duplicates
from pipeline.text.clean import tokens
from tests.support.sim import ROWS, THRESHOLD, oracle_sim, sim, tokens_of


def oracle_witnesses(rows, threshold):
    """Compare every row with every kept one: None for kept, else the first kept row that is similar."""
    kept, witnesses = [], []
    for row, words in enumerate(rows):
        near = (other for other in kept if oracle_sim(words, rows[other]) >= threshold - GUARD)
        witnesses.append(next(near, None))
        if witnesses[-1] is None:
            kept.append(row)
    return witnesses


def judge(rows, threshold, **how):
    """Return (witness or None, score, same) for each row."""
    out = find_near_duplicates(tokens_of(rows), threshold, **how)
    return [
        (None if witness < 0 else witness, score, same)
        for witness, score, same in zip(out.row.tolist(), out.score.tolist(), out.same.tolist(), strict=True)
    ]


def witnesses(rows, threshold, **how):
    return [witness for witness, _, _ in judge(rows, threshold, **how)]


def kept(rows, threshold):
    return [row for row, witness in zip(rows, witnesses(rows, threshold), strict=True) if witness is None]


@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=200, deadline=None)
def test_the_kept_and_their_witnesses_are_those_of_brute_force(rows, threshold):
    assert witnesses(rows, threshold) == oracle_witnesses(rows, threshold)


@pytest.mark.slow
@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_no_two_kept_rows_are_similar(rows, threshold):
    left = kept(rows, threshold)
    for place, words in enumerate(left):
        assert all(oracle_sim(words, other) < threshold - GUARD for other in left[:place])


@pytest.mark.slow
@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_every_dropped_row_has_a_kept_earlier_witness_with_its_score(rows, threshold):
    out = judge(rows, threshold)
    for row, (witness, score, same) in enumerate(out):
        if witness is not None:
            assert witness < row
            assert out[witness][0] is None
            assert score == pytest.approx(oracle_sim(rows[row], rows[witness]), abs=1e-9)
            assert same == (rows[row] == rows[witness])


@pytest.mark.slow
@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_filtering_again_changes_nothing(rows, threshold):
    left = kept(rows, threshold)
    assert kept(left, threshold) == left == kept(rows, threshold)


@pytest.mark.slow
@given(rows=ROWS, threshold=THRESHOLD, share=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_more_rows_behind_change_nothing_before(rows, threshold, share):
    first = int(len(rows) * share)
    assert judge(rows[:first], threshold) == judge(rows, threshold)[:first]


@pytest.mark.slow
@given(rows=ROWS, threshold=THRESHOLD, share=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_judging_the_rows_behind_alone_gives_what_judging_all_gives(rows, threshold, share):
    first = int(len(rows) * share)
    whole = find_near_duplicates(tokens_of(rows), threshold)
    before = Witnesses(whole.row[:first], whole.score[:first], whole.same[:first])
    assert judge(rows, threshold, before=before) == judge(rows, threshold)


@given(rows=ROWS, threshold=THRESHOLD, block=st.integers(1, 30), threads=st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_blocks_and_threads_change_nothing(rows, threshold, block, threads):
    assert judge(rows, threshold, block=block, threads=threads) == judge(rows, threshold, threads=1)


@pytest.mark.slow
@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_copies_behind_change_nothing(rows, threshold):
    assert kept([*rows, *rows], threshold) == kept(rows, threshold)


def test_an_exact_tie_counts_as_similar_though_floats_fall_short_of_it():
    # a run of 8 words, two of 2 and five single ones in another order: 17/18 * 9/17 * 6/16 * 5/15 = 0.5^4
    runs = ["abcdefgh", "i", "jk", "l", "mn", "o", "p", "q"]
    a, b = tuple("".join(runs) + "x"), tuple("y" + "".join(reversed(runs)))
    assert sim(a, b) < 0.5
    assert witnesses([a, b], 0.5) == [None, 0]
    assert witnesses([a, b], 0.5 + 1e-6) == [None, None]


def test_a_similar_row_that_repeats_a_dropped_one_points_to_the_kept():
    rows = [tuple("abcdefgh"), tuple("abcdefgx"), tuple("abcdefgx")]
    assert [(witness, same) for witness, _, same in judge(rows, 0.7)] == [(None, False), (0, False), (0, False)]


# ---- larger corpora, against arrays


def corpus(rows, seed):
    """Return token lists, three in ten made from an earlier one by a few edits; words by Zipf's law."""
    chance = random.Random(seed)
    made = []
    for _ in range(rows):
        words = [f"w{int(chance.paretovariate(0.6)) % 5000}" for _ in range(1 + int(chance.lognormvariate(2.2, 0.7)))]
        if made and chance.random() < 0.3:
            words = list(chance.choice(made))
            for _ in range(chance.choice((0, 1, 1, 2, 3))):
                place = chance.randrange(len(words))
                words[place : place + chance.choice((0, 1))] = chance.choice(
                    ([], [f"w{chance.randrange(50)}"], ["x", "y"])
                )
                words = words or ["z"]
        made.append(tuple(words[:40]))
    return made


def bleu(matches, hypothesis, reference):
    """sacrebleu's sentence BLEU, floor 0.1 and effective order, for arrays of M_1..M_4 and of lengths."""
    order = np.minimum(4, hypothesis)
    logs = np.zeros(matches.shape[1])
    for n in range(4):
        share = np.where(matches[n] > 0, matches[n], 0.1) / np.maximum(hypothesis - n, 1)
        logs += np.where(n < order, np.log(share), 0.0)
    return np.where(matches[0] > 0, np.exp(logs / order + np.minimum(0, 1 - reference / hypothesis)), 0.0)


def compare_all(rows, threshold):
    """Compare each row with all kept ones: None for kept, else (the first kept row that is similar, sim)."""
    judged, kept, lengths = [], [], []
    holding: list[dict[tuple, tuple[list, list]]] = [{}, {}, {}, {}]
    for row, words in enumerate(rows):
        grams = [Counter(tuple(words[place : place + n]) for place in range(len(words) - n + 1)) for n in range(1, 5)]
        matches = np.zeros((4, len(kept)))
        for mine, held, counted in zip(grams, holding, matches, strict=True):
            for gram, times in mine.items():
                if gram in held:
                    places, counts = held[gram]
                    counted[places] += np.minimum(times, counts)
        mine, theirs = np.full(len(kept), len(words)), np.array(lengths, int)
        sims = np.maximum(bleu(matches, mine, theirs), bleu(matches, theirs, mine))
        near = np.flatnonzero(sims >= threshold - 1e-9)
        judged.append((kept[near[0]], float(sims[near[0]])) if len(near) else None)
        if not len(near):
            for counts, held in zip(grams, holding, strict=True):
                for gram, times in counts.items():
                    places, times_held = held.setdefault(gram, ([], []))
                    places.append(len(kept))
                    times_held.append(times)
            kept.append(row)
            lengths.append(len(words))
    return judged


def differences(rows, threshold, **how):
    out = find_near_duplicates(tokens_of(rows), threshold, **how)
    expected = compare_all(rows, threshold)
    wrong = 0
    for witness, score, near in zip(out.row.tolist(), out.score.tolist(), expected, strict=True):
        same = (witness < 0) if near is None else (witness == near[0] and math.isclose(score, near[1], abs_tol=1e-9))
        wrong += not same
    return wrong, sum(near is not None for near in expected)


@pytest.mark.parametrize("threshold", [0.35, 0.5, 0.7, 0.95])
def test_rows_have_the_witnesses_and_scores_of_brute_force(threshold):
    wrong, dropped = differences(corpus(500, seed=int(threshold * 100)), threshold, block=64, threads=2)
    assert wrong == 0
    assert dropped > 25


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows, block, threads, threshold",
    [(1000, 10, 1, 0.35), (2000, 100, 3, 0.5), (3000, 1000, 2, 0.6), (10_000, 8192, 2, 0.7), (10_000, 512, 1, 0.95)],
)
def test_thousands_of_rows_have_the_witnesses_and_scores_of_brute_force(rows, block, threads, threshold):
    wrong, dropped = differences(corpus(rows, seed=rows), threshold, block=block, threads=threads)
    assert wrong == 0
    assert dropped > rows / 20


def test_every_real_query_that_leaves_has_a_witness_whose_score_sacrebleu_confirms(shared_data):
    typed = json.loads((shared_data / "vidprom_queries.json").read_text(encoding="utf-8"))
    rows = [tokens(text) for text in typed]
    out = find_near_duplicates(tokens_of(rows), 0.5)
    bleu = BLEU(smooth_method="floor", smooth_value=0.1, effective_order=True, tokenize="none")
    dropped = 0
    for row, (witness, score) in enumerate(zip(out.row.tolist(), out.score.tolist(), strict=True)):
        if witness < 0:
            continue
        dropped += 1
        assert witness < row and out.row[witness] < 0
        a, b = " ".join(rows[row]), " ".join(rows[witness])
        best = max(bleu.sentence_score(a, [b]).score, bleu.sentence_score(b, [a]).score) / 100
        assert (score >= 0.5 - 1e-9 and score == pytest.approx(best, abs=1e-9)) or (not a and not b)
    assert dropped > 50
