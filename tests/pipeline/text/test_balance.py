"""Pairs drawn so that nothing but the preference tells them apart."""

import random

import numpy as np
import pytest

from pipeline.text.balance import draw_balanced, match_signs
from pipeline.text.shortcuts import measure_shortcuts
from tests.pipeline.text.test_shortcuts import noise, pairs


def test_as_many_lean_one_way_as_the_other_by_as_much():
    assert match_signs(np.array([5.0, 1.0, 0.0, -2.0, 9.0, 2.1])) == [2, 3, 5]
    assert match_signs(np.array([1.0, 2.0])) == []
    assert match_signs(np.array([-1.0, 3.0, -3.0, -8.0])) == [1, 2]


def leaning(draw, share=0.8):
    """A pair whose longer text wins in so many of the cases."""
    sides = noise(draw, draw.randint(13, 20)), noise(draw)
    return sides if draw.random() < share else sides[::-1]


def test_pairs_without_a_lead_in_length_are_drawn():
    given = pairs(300, leaning)
    assert measure_shortcuts(given)["text"]["length_auc"] > 0.7
    drawn = draw_balanced(given, "length")
    assert abs(measure_shortcuts(drawn)["text"]["length_auc"] - 0.5) < 0.03
    assert 90 < len(drawn) < 150 and [pair for pair in given if pair in drawn] == drawn


def wordy(draw, share=0.85):
    sides = f"{noise(draw)} cinematic", f"{noise(draw)} plain"
    return sides if draw.random() < share else sides[::-1]


def test_pairs_whose_words_tell_nothing_are_drawn():
    given = pairs(300, wordy)
    assert measure_shortcuts(given)["text"]["words_auc"] > 0.75
    drawn = draw_balanced(given, "words")
    assert measure_shortcuts(drawn)["text"]["words_auc"] <= 0.65
    assert len(drawn) > 40


@pytest.mark.parametrize("by", ["words", "length"])
def test_sources_are_balanced_apart_and_the_same_pairs_are_drawn_in_any_order(by):
    even = pairs(100, lambda draw: (noise(draw), noise(draw)), "video")
    given = [*pairs(100, leaning if by == "length" else wordy), *even]
    drawn = draw_balanced(given, by)
    assert [pair for pair in drawn if pair.source == "video"] == even
    shuffled = random.Random(1).sample(given, len(given))
    assert {pair.pair_id for pair in draw_balanced(shuffled, by)} == {pair.pair_id for pair in drawn}
    assert len(drawn) < len(given)


@pytest.mark.parametrize(
    ("leanings", "kept"),
    [
        ([2.0, -1.9, 1.0, -5.0, 0.0], [0, 1, 2, 3, 4]),
        ([1.0, 4.0, -3.9, 2.0], [1, 2]),
        ([-1.0, -4.0, 3.9], [1, 2]),
        ([1e-12, 1.0], [0]),
        ([], []),
    ],
)
def test_the_rarer_sign_is_kept_whole_and_matched_by_size(leanings, kept):
    assert match_signs(np.array(leanings)) == kept
