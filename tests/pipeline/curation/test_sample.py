from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation import sample
from pipeline.curation.sample import list_counted_words, list_facets, measure_coverage, order_by_strata, stratify
from pipeline.curation.tokens import tokenize
from pipeline.runtime.io import DataError
from pipeline.text.clean import tokens

WORDS = "a dog man car castle beach abstract 3d anime running zoom pizza the red big of".split()
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), max_size=60)


def strata(texts):
    return stratify(tokenize(pl.Series(texts, dtype=pl.String)))


def named(texts):
    """Return facet -> value per text."""
    layers = strata(texts)
    return {facet: [layers.names[facet][code] for code in layers.codes[facet]] for facet in layers.names}


def ids(count):
    return [f"{number:016x}" for number in range(count)]


def skewed(count):
    """Return texts, one in twenty about an animal and the others about people."""
    return [f"{'dog' if number % 20 == 0 else 'man'} number {number}" for number in range(count)]


def test_a_query_is_known_by_its_first_words():
    by_facet = named(
        ["a man with a dog", "a dog with a man in anime style", "xyz", "", "a 3d render of an anime castle at a beach"]
    )
    assert by_facet["content"] == ["person", "animal", "none", "none", "building"]
    assert by_facet["style"] == ["none", "anime", "none", "none", "render"]


def test_length_and_difficulty_have_bands():
    texts = ["dog", " ".join(["very"] * 7), " ".join(["very"] * 13), "very " * 24 + "very"]
    assert named(texts)["length"] == list(sample.LENGTHS)
    texts = ["dog dog dog dog", "a dog and a cat running", "a dog and a cat running on a beach, zoom in on a castle"]
    assert named([" ".join(tokens(text)) for text in texts])["difficulty"] == ["easy", "medium", "hard"]


@cache
def facet_of_word():
    """Facet -> word of its lists -> the value that it stands for; of several the first."""
    return {
        facet: {word: value for value, listed in reversed(values.items()) for word in listed}
        for facet, values in sample._read_lists().items()
    }


@given(texts=TEXTS)
@settings(max_examples=200, deadline=None)
def test_strata_are_those_of_a_plain_loop(texts):
    by_facet = named(texts)
    for row, text in enumerate(texts):
        words = text.split()
        for facet in ("content", "style"):
            values = facet_of_word()[facet]
            assert by_facet[facet][row] == next((values[word] for word in words if word in values), "none")
        count = len(set(words).intersection(list_counted_words()))
        assert by_facet["difficulty"][row] == ("hard" if count >= 6 else "medium" if count >= 3 else "easy")


@given(texts=TEXTS, seed=st.integers(0, 5), balance=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_every_row_stands_once_in_the_order(texts, seed, balance):
    layers = strata(texts)
    weights = {"content": {"animal": 3.0, "none": 0.5}}
    assert sorted(order_by_strata(ids(len(texts)), seed, layers, balance, weights)) == list(range(len(texts)))


def test_every_stretch_of_a_stratified_order_holds_each_stratum_in_its_share():
    layers = strata(skewed(4000))
    for balance, share in ((0.0, 0.05), (1.0, 0.5)):
        by_content = layers.codes["content"][order_by_strata(ids(4000), 0, layers, balance, {})]
        animal = list_facets()["content"].index("animal")
        for size in (100, 200, 400):
            # each of the few strata is off by one at most
            assert abs(np.sum(by_content[:size] == animal) - share * size) <= 6


def test_weights_multiply_a_stratum_s_share():
    layers = strata(skewed(4000))
    plain, heavy, none = (
        measure_coverage(layers, order_by_strata(ids(4000), 0, layers, 0.0, {"content": {"animal": factor}})[:400])[
            "content"
        ]["animal"]
        for factor in (1.0, 3.0, 0.0)
    )
    assert plain["source"] == heavy["source"] == 0.05
    assert plain["drawn"] == pytest.approx(0.05, abs=0.01)
    assert heavy["drawn"] == pytest.approx(0.15 / 1.10, abs=0.01)
    assert none["drawn"] == 0


def test_a_rare_stratum_is_drawn_as_often_as_its_share_says():
    """A stratum too rare for one row of the draw must not be lost in each: chance decides."""
    layers = strata(["pizza", *["man"] * 399])
    hits = sum(0 in order_by_strata(ids(400), seed, layers, 0.0, {})[:100].tolist() for seed in range(200))
    assert 30 < hits < 70


@given(seed=st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_more_rows_move_few(seed):
    texts = skewed(2000)
    some, more = (strata(part) for part in (texts[:1960], texts))
    before = set(order_by_strata(ids(1960), seed, some, 0.5, {})[:200].tolist())
    after = set(order_by_strata(ids(2000), seed, more, 0.5, {})[:200].tolist())
    assert len(before & after) >= 180


def test_another_seed_draws_another_order():
    layers = strata(skewed(200))
    orders = [order_by_strata(ids(200), seed, layers, 0.0, {}).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    "weights, message",
    [
        ({"colour": {"red": 1}}, "no facet 'colour'; there are length, content, style, difficulty"),
        ({"content": {"fish": 1}}, "content: no value 'fish'; there are none, person"),
        ({"content": dict.fromkeys(list_facets()["content"], 0.0)}, "every stratum of the source has weight 0"),
    ],
)
def test_weights_that_cannot_be_are_told(weights, message):
    layers = strata(skewed(20))
    with pytest.raises(DataError, match="queries.sample_weights") as caught:
        order_by_strata(ids(20), 0, layers, 0.0, weights)
    assert message in caught.value.message


def test_coverage_adds_up():
    layers = strata(skewed(300))
    for values in measure_coverage(layers, np.arange(30)).values():
        assert sum(value["source"] for value in values.values()) == pytest.approx(1, abs=0.001)
        assert sum(value["drawn"] for value in values.values()) == pytest.approx(1, abs=0.001)


def test_a_word_stands_in_one_list_and_is_spelled_as_words_are():
    lines = Path(sample.__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    listed = [line.split(": ") for line in lines if not line.startswith("#")]
    for facet in {names.split()[0] for names, _ in listed}:
        words = [word for names, some in listed if names.split()[0] == facet for word in some.split()]
        assert [word for word, count in Counter(words).items() if count > 1] == []
        assert [word for word in words if tokens(word) != (word,)] == []
