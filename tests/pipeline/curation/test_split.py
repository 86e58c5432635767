from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.bleu import GUARD
from pipeline.curation.query_ids import hash_queries
from pipeline.curation.split import NEAR, Splits, Unplaced, read_sizes
from tests.support.sim import sim, tokens_of

ROW = st.lists(st.sampled_from("abcdefghij"), min_size=3, max_size=7).map(tuple)
SIZES = st.fixed_dictionaries({name: st.integers(0, 6) for name in ("sft", "dpo", "test")})
NONE = {"sft": 0, "dpo": 0, "test": 0}
SEED = 0


def place_all(rows, general, safety, strata):
    splits = Splits(tokens_of(rows), hash_queries(map(" ".join, rows)), general, safety, SEED)
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


def test_a_small_source_fills_the_splits_in_proportion_but_for_chance():
    splits, _ = place_all(unlike(1200), {"sft": 6000, "dpo": 4000, "test": 2000}, NONE, [False] * 1200)
    sizes = splits.report_sizes()
    # four standard deviations of a share of 1,200 rows are 68, 66 and 52
    assert 532 < sizes["sft"]["general"] < 668
    assert 334 < sizes["dpo"]["general"] < 466
    assert 148 < sizes["test"]["general"] < 252
    assert splits.report_shortages()[0] == f"sft has {sizes['sft']['general']} of 6000 general queries"


@pytest.mark.parametrize("seed", range(20))
def test_no_split_stays_empty_that_has_a_share_of_a_small_source(seed):
    rows = [tuple(f"{seed}{word}" for word in row) for row in unlike(12)]
    splits, _ = place_all(rows, {"sft": 60, "dpo": 48, "test": 12}, NONE, [False] * 12)
    sizes = {name: counts["general"] for name, counts in splits.report_sizes().items()}
    assert min(sizes.values()) >= 1
    assert sum(sizes.values()) == 12


@pytest.mark.parametrize("where", [0, 20, 80])
def test_rows_that_come_before_others_move_few_of_them(where):
    """Each row that is new can push one out of each split at most, and what is pushed out is the last."""
    rows, new = unlike(200), [tuple(f"new{row}{word}" for word in "abcde") for row in range(5)]
    sizes = {"sft": 80, "dpo": 40, "test": 20}
    _, before = place_all(rows, sizes, NONE, [False] * 200)
    _, after = place_all([*rows[:where], *new, *rows[where:]], sizes, NONE, [False] * 205)
    fates = dict(zip(rows, before, strict=True))
    kept = dict(zip([*rows[:where], *new, *rows[where:]], after, strict=True))
    drawn = [row for row in rows if not isinstance(fates[row], Unplaced)]
    assert len(drawn) == 140
    assert sum(kept[row] != fates[row] for row in drawn) <= 15
    assert all(kept[row] == fates[row] for row in drawn[:60])


def test_the_seed_decides_which_split_a_query_prefers():
    rows, sizes = unlike(60), {"sft": 30, "dpo": 20, "test": 10}
    heads = hash_queries(map(" ".join, rows))
    first, again, other = (
        Splits(tokens_of(rows), heads, sizes, NONE, seed).place(np.arange(60), False) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_near_duplicate_goes_where_the_first_went():
    rows = [tuple("abcdefg"), *unlike(3), tuple("abcdefx")]
    _, fates = place_all(rows, {"sft": 3, "dpo": 3, "test": 3}, NONE, [False] * 5)
    assert fates[4] == fates[0]


def test_a_row_between_two_splits_stays_out_and_names_its_neighbour():
    rows = [tuple("abcdefg"), tuple("abcXefg"), tuple("abcdXefg")]
    assert sim(rows[0], rows[1]) < NEAR <= min(sim(rows[0], rows[2]), sim(rows[1], rows[2]))
    _, fates = place_all(rows, {"sft": 1, "dpo": 1, "test": 1}, NONE, [False] * 3)
    assert {fates[0], fates[1]} < {"sft", "dpo", "test"}
    assert fates[2].detail == "near-duplicates of it stand in two splits"
    assert fates[2].row == 0


def test_sizes_are_those_of_the_params(laptop):
    params = laptop.queries
    assert read_sizes(params, safety=False) == {"sft": params.sft, "dpo": params.dpo, "test": params.test}
    assert read_sizes(params, safety=True)["dpo"] == params.dpo_safety
