import random

import numpy as np
import pytest

from pipeline.text.shortcuts import (
    WARN_ABOVE,
    compute_auc,
    count_words,
    describe_shortcuts,
    fit_logistic,
    list_columns,
    mark_words,
    measure_shortcuts,
    name_pairs,
    name_words,
    split_words,
    tells_by_length,
    tells_by_words,
    warn_of_shortcuts,
)
from schemas.base import content_id
from tests.support import tiny_policy

PAIR = tiny_policy.d_dpo()[0]
WORDS = [f"w{number}" for number in range(60)]


def pairs(n, make, source="text"):
    """Return pairs of n queries; `make(draw)` -> (chosen, rejected)."""
    draw, made = random.Random(0), []
    for number in range(n):
        chosen, rejected = make(draw)
        query = content_id(number)
        values = {"query_id": query, "pair_id": content_id(query, source), "chosen": chosen, "rejected": rejected}
        made.append(PAIR.model_copy(update=values | {"source": source}))
    return made


def noise(draw, n=12):
    return " ".join(draw.choices(WORDS, k=n))


def warnings_of(shortcuts):
    lines = []
    warn_of_shortcuts(shortcuts, lines.append)
    return lines


def test_pairs_that_differ_by_chance_alone_give_no_warning():
    shortcuts = measure_shortcuts(pairs(300, lambda draw: (noise(draw), noise(draw))))
    assert shortcuts["text"]["pairs"] == 300 and shortcuts["text"]["length_auc"] == 0.5
    assert abs(shortcuts["text"]["words_auc"] - 0.5) < 0.08
    assert warnings_of(shortcuts) == []


def test_a_word_that_only_the_chosen_have_is_found_and_warned_of():
    shortcuts = measure_shortcuts(pairs(100, lambda draw: (f"{noise(draw)} cinematic", f"{noise(draw)} plain")))
    assert shortcuts["text"]["words_auc"] > 0.95 and shortcuts["text"]["length_auc"] == 0.5
    (line,) = warnings_of(shortcuts)
    assert "a bag of words tells chosen from rejected in the text pairs" in line


def test_words_and_ten_pairs_that_carry_a_shortcut_are_named_and_no_text():
    clean = pairs(80, lambda draw: (noise(draw), noise(draw)))
    carrying = pairs(200, lambda draw: (f"{noise(draw)} cinematic", f"{noise(draw)} plain"))[80:]
    shortcut = measure_shortcuts([*clean, *carrying])["text"]
    assert {"word": "cinematic", "chosen": 120, "rejected": 0} in shortcut["words"][:2]
    assert {"word": "plain", "chosen": 0, "rejected": 120} in shortcut["words"][:2]
    assert len(shortcut["carried_by"]) == 10
    assert set(shortcut["carried_by"]) <= {pair.pair_id for pair in carrying}
    (sentence,) = describe_shortcuts("dpo", {"text": shortcut})
    assert sentence.startswith("dpo, text pairs: single words do (AUC") and "cinematic (120:0)" in sentence
    assert shortcut["carried_by"][9] in sentence


def test_the_longest_leads_carry_a_shortcut_of_length():
    made = pairs(60, lambda draw: (noise(draw, 20), noise(draw)))
    less = [pair.model_copy(update={"pair_id": f"less{n}"}) for n, pair in enumerate(
        pairs(60, lambda draw: (noise(draw, 13), noise(draw))))]  # fmt: skip
    shortcut = measure_shortcuts([*made, *less])["text"]
    assert shortcut["length_auc"] > 0.9 and len(shortcut["carried_by"]) == 10
    assert not any(pair_id.startswith("less") for pair_id in shortcut["carried_by"])
    assert "the longer one wins" in describe_shortcuts("dpo", {"text": shortcut})[0]


def test_nothing_is_named_where_chance_decides():
    shortcut = measure_shortcuts(pairs(300, lambda draw: (noise(draw), noise(draw))))
    assert "words" not in shortcut["text"] and "carried_by" not in shortcut["text"]
    assert describe_shortcuts("dpo", shortcut) == []


@pytest.mark.parametrize(("longer", "shorter", "which"), [(16, 10, "longer"), (10, 16, "shorter")])
def test_length_is_told_apart_from_words_and_in_both_directions(longer, shorter, which):
    shortcuts = measure_shortcuts(pairs(100, lambda draw: (noise(draw, longer), noise(draw, shorter)), "video"))
    assert shortcuts["video"]["length_auc"] == (1.0 if which == "longer" else 0.0)
    assert any(f"the {which} one wins" in line and "video pairs" in line for line in warnings_of(shortcuts))


def test_sources_are_told_apart():
    worse = pairs(60, lambda draw: (noise(draw, 14), noise(draw)), "video")
    shortcuts = measure_shortcuts([*pairs(60, lambda draw: (noise(draw), noise(draw))), *worse])
    assert shortcuts["text"]["length_auc"] == 0.5 and shortcuts["video"]["length_auc"] == 1.0


def test_words_of_a_query_it_has_seen_do_not_count():
    """Two pairs of a query share its odd words: without folds by query they would give each other away."""
    made = []
    for number in range(60):
        query = content_id(number)
        values = {"query_id": query, "chosen": f"odd{number} one", "rejected": f"even{number} one"}
        made += [PAIR.model_copy(update=values | {"pair_id": content_id(query, twin)}) for twin in range(2)]
    assert measure_shortcuts(made)["text"]["words_auc"] == 0.5


def test_one_query_alone_has_no_words_auc():
    assert measure_shortcuts(pairs(1, lambda draw: ("a b", "a")))["text"]["words_auc"] is None


def test_the_auc_is_the_share_of_pairs_in_order_with_ties_as_halves():
    assert compute_auc([3, 2], [1, 2]) == 3.5 / 4
    assert compute_auc([1], [1]) == 0.5 and compute_auc([0], [1]) == 0
    assert WARN_ABOVE == 0.65


def test_the_regression_stands_where_its_gradient_is_zero():
    draws = np.random.default_rng(0)
    chosen, rejected = (draws.integers(0, 2, (40, 6)).astype(np.float32) for _ in range(2))
    weights = fit_logistic(chosen, rejected, steps=2000)
    x = chosen - rejected
    assert np.abs(x.T @ (1 / (1 + np.exp(x @ weights))) - weights).max() < 1e-6


def shortcut(length_auc, words_auc=None, **more):
    return {"pairs": 9, "length_auc": length_auc, "words_auc": words_auc, **more}


@pytest.mark.parametrize(
    ("length_auc", "words_auc", "by_length", "by_words"),
    [(0.65, 0.65, False, False), (0.651, 0.651, True, True), (0.35, None, False, False), (0.349, 0.2, True, False)],
)
def test_a_shortcut_begins_just_beyond_its_bound_on_both_sides(length_auc, words_auc, by_length, by_words):
    one = shortcut(length_auc, words_auc)
    assert (tells_by_length(one), tells_by_words(one)) == (by_length, by_words)


def test_each_shortcut_is_a_sentence_with_its_figures_words_and_pairs():
    words = [{"word": "vivid", "chosen": 7, "rejected": 1}, {"word": "dull", "chosen": 0, "rejected": 4}]
    shortcuts = {
        "text": shortcut(0.2, 0.8, words=words, carried_by=["p1", "p2"]), "video": shortcut(0.7, carried_by=["p3"]),
        "more": shortcut(0.5, 0.5),
    }  # fmt: skip
    assert describe_shortcuts("dpo", shortcuts) == [
        "dpo, text pairs: single words do (AUC 0.800), chosen : rejected vivid (7:1), dull (0:4); length does (AUC "
        "0.200), the shorter one wins. Pairs that carry it: p1, p2.",
        "dpo, video pairs: length does (AUC 0.700), the longer one wins. Pairs that carry it: p3.",
    ]
    assert warnings_of(shortcuts) == [
        "  dpo: WARNING: length alone tells chosen from rejected in the text pairs (AUC 0.20): the shorter one wins",
        "  dpo: WARNING: a bag of words tells chosen from rejected in the text pairs (AUC 0.80)",
        "  dpo: WARNING: length alone tells chosen from rejected in the video pairs (AUC 0.70): the longer one wins",
    ]


def test_words_of_more_pairs_have_the_first_columns_and_equal_ones_the_order_of_the_alphabet():
    chosen, rejected = [{"b", "a"}, {"c"}, {"b"}], [{"b"}, {"a", "c"}, {"d"}]
    assert list_columns(chosen, rejected) == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert mark_words([{"b", "x"}, {"a", "d"}, set()], {"a": 0, "b": 1, "d": 2}).tolist() == [
        [0, 1, 0], [1, 0, 1], [0, 0, 0],
    ]  # fmt: skip
    many = [{f"w{number:04d}"} for number in range(1200)]
    assert len(list_columns(many, many)) == 1000 and "w0999" in list_columns(many, many)


def test_the_pairs_that_lean_most_are_named_and_equal_ones_in_their_order():
    made = [PAIR.model_copy(update={"pair_id": f"p{number:02d}"}) for number in range(12)]
    leanings = np.array([0, 3, 1, 3, -1, 0, 0, 0, 0, 0, 2, 1e-12])
    assert name_pairs(made, leanings) == [f"p{n:02d}" for n in (1, 3, 10, 2, 0, 5, 6, 7, 8, 9)]


def test_the_words_that_tell_most_are_named_with_the_pairs_on_each_side():
    texts = [("vivid red fox", "dull red fox"), ("vivid dog", "dull dog"), ("dull cat", "vivid cat"), ("vivid", "x")]
    made = [PAIR.model_copy(update={"chosen": chosen, "rejected": rejected}) for chosen, rejected in texts]
    first, *_ = name_words(made)
    assert first == {"word": "vivid", "chosen": 3, "rejected": 1}
    assert {word["word"]: (word["chosen"], word["rejected"]) for word in name_words(made)}["dull"] == (1, 2)


def test_words_are_counted_without_case_and_signs():
    assert split_words("A dog, a Dog's bone -- 3x!") == ["a", "dog", "a", "dog", "s", "bone", "3x"]
    assert count_words([PAIR.model_copy(update={"chosen": "a b c", "rejected": "a, b"})]).tolist() == [[3, 2]]


def test_pairs_are_measured_in_the_order_of_their_ids_and_no_more_than_are_worth_it():
    made = pairs(30, lambda draw: (noise(draw), noise(draw)))
    assert measure_shortcuts(made) == measure_shortcuts(made[::-1])
    assert [*measure_shortcuts([made[0].model_copy(update={"source": "video"}), made[1]])] == ["text", "video"]
