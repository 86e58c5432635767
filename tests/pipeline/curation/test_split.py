from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.bleu import GUARD
from pipeline.curation.split import NEAR, Splits, Unplaced, read_sizes
from tests.support.sim import sim, tokens_of

ROW = st.lists(st.sampled_from("abcdefghij"), min_size=3, max_size=7).map(tuple)
SIZES = st.fixed_dictionaries({name: st.integers(0, 6) for name in ("sft", "dpo", "test")})
NONE = {"sft": 0, "dpo": 0, "test": 0}


def place_all(rows, general, safety, strata):
    splits = Splits(tokens_of(rows), general, safety)
    fates = {}
    for safe in (True, False):
        fates |= splits.place(np.flatnonzero(np.array(strata, bool) == safe), safe)
    return splits, [fates.get(row, Unplaced("the splits are full")) for row in range(len(rows))]


@pytest.mark.slow
@given(rows=st.lists(ROW, max_size=30, unique=True), general=SIZES, safety=SIZES, data=st.data())
@settings(max_examples=200, deadline=None)
def test_near_duplicates_never_stand_in_two_splits(rows, general, safety, data):
    strata = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    splits, _ = place_all(rows, general, safety, strata)
    for row, split in splits.split_of.items():
        for other, other_split in splits.split_of.items():
            assert split == other_split or sim(rows[row], rows[other]) < NEAR - GUARD


@given(rows=st.lists(ROW, max_size=30, unique=True), general=SIZES, safety=SIZES, data=st.data())
@settings(max_examples=200, deadline=None)
def test_no_split_gets_more_than_it_wants_and_all_is_counted(rows, general, safety, data):
    strata = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    splits, fates = place_all(rows, general, safety, strata)
    counted = Counter((fate, safe) for fate, safe in zip(fates, strata, strict=True) if not isinstance(fate, Unplaced))
    for name, sizes_of in splits.report_sizes().items():
        assert counted[name, False] == sizes_of["general"] <= general[name]
        assert counted[name, True] == sizes_of["safety"] <= safety[name]


def unlike(count):
    return [tuple(f"{row}{word}" for word in "abcde") for row in range(count)]


def test_a_large_source_fills_every_split():
    splits, fates = place_all(unlike(40), {"sft": 9, "dpo": 6, "test": 3}, NONE, [False] * 40)
    assert Counter(fate for fate in fates if not isinstance(fate, Unplaced)) == {"sft": 9, "dpo": 6, "test": 3}
    assert {fate.detail for fate in fates if isinstance(fate, Unplaced)} == {"the splits are full"}
    assert splits.report_shortages() == []


def test_a_small_source_fills_the_splits_in_proportion():
    splits, _ = place_all(unlike(12), {"sft": 60, "dpo": 40, "test": 20}, NONE, [False] * 12)
    assert [splits.report_sizes()[name]["general"] for name in ("sft", "dpo", "test")] == [6, 4, 2]
    assert splits.report_shortages()[0] == "sft has 6 of 60 general queries"


def test_a_near_duplicate_goes_where_the_first_went():
    rows = [tuple("abcdefg"), *unlike(3), tuple("abcdefx")]
    _, fates = place_all(rows, {"sft": 3, "dpo": 3, "test": 3}, NONE, [False] * 5)
    assert fates[4] == fates[0]


def test_a_row_between_two_splits_stays_out_and_names_its_neighbour():
    rows = [tuple("abcdefg"), tuple("abcXefg"), tuple("abcdXefg")]
    assert sim(rows[0], rows[1]) < NEAR <= min(sim(rows[0], rows[2]), sim(rows[1], rows[2]))
    _, fates = place_all(rows, {"sft": 1, "dpo": 1, "test": 1}, NONE, [False] * 3)
    assert fates[:2] == ["sft", "dpo"]
    assert fates[2].detail == "near-duplicates of it stand in two splits"
    assert fates[2].row == 0


def test_sizes_are_those_of_the_params(laptop):
    params = laptop.queries
    assert read_sizes(params, safety=False) == {"sft": params.sft, "dpo": params.dpo, "test": params.test}
    assert read_sizes(params, safety=True)["dpo"] == params.dpo_safety
