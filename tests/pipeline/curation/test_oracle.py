"""The filter against an oracle that shares no code with it: every row compared with every kept one."""

import json
import math
import random
from collections import Counter

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from pipeline.curation.diverse import diverse
from pipeline.curation.tokens import tokens_of_rows
from pipeline.text.clean import tokens


def corpus(rows, seed):
    """Return token lists, three in ten made from an earlier one by a few edits; words by Zipf's law."""
    chance = random.Random(seed)
    made = []
    for _ in range(rows):
        words = [f"w{int(chance.paretovariate(0.6)) % 5000}" for _ in range(1 + int(chance.lognormvariate(2.2, 0.7)))]
        if made and chance.random() < 0.3:
            words = list(chance.choice(made))
            for _ in range(chance.choice((0, 1, 1, 2, 3))):
                at = chance.randrange(len(words))
                words[at : at + chance.choice((0, 1))] = chance.choice(([], [f"w{chance.randrange(50)}"], ["x", "y"]))
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


def oracle(rows, threshold):
    """Compare each row with all kept ones: None for kept, else (the first kept row that is similar, sim)."""
    found, kept, lengths = [], [], []
    holding: list[dict[tuple, tuple[list, list]]] = [{}, {}, {}, {}]
    for row, words in enumerate(rows):
        grams = [Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1)) for n in range(1, 5)]
        matches = np.zeros((4, len(kept)))
        for mine, held, counted in zip(grams, holding, matches, strict=True):
            for gram, times in mine.items():
                if gram in held:
                    places, counts = held[gram]
                    counted[places] += np.minimum(times, counts)
        mine, theirs = np.full(len(kept), len(words)), np.array(lengths, int)
        sims = np.maximum(bleu(matches, mine, theirs), bleu(matches, theirs, mine))
        near = np.flatnonzero(sims >= threshold - 1e-9)
        found.append((kept[near[0]], float(sims[near[0]])) if len(near) else None)
        if not len(near):
            for counts, held in zip(grams, holding, strict=True):
                for gram, times in counts.items():
                    places, its = held.setdefault(gram, ([], []))
                    places.append(len(kept))
                    its.append(times)
            kept.append(row)
            lengths.append(len(words))
    return found


def differences(rows, threshold, **how):
    out = diverse(tokens_of_rows(rows), threshold, **how)
    expected = oracle(rows, threshold)
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
    out = diverse(tokens_of_rows(rows), 0.5)
    bleu = BLEU(smooth_method="floor", smooth_value=0.1, effective_order=True, tokenize="none")
    dropped = 0
    for row, (witness, score) in enumerate(zip(out.row.tolist(), out.score.tolist(), strict=True)):
        if witness < 0:
            continue
        dropped += 1
        assert witness < row and out.row[witness] < 0
        a, b = " ".join(rows[row]), " ".join(rows[witness])
        said = max(bleu.sentence_score(a, [b]).score, bleu.sentence_score(b, [a]).score) / 100
        assert (score >= 0.5 - 1e-9 and score == pytest.approx(said, abs=1e-9)) or (not a and not b)
    assert dropped > 50
