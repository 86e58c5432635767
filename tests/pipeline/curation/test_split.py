from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.bleu import GUARD, sim
from pipeline.curation.split import NEAR, Left, Splits, drawn, query_heads, sizes, spelled
from pipeline.curation.tokens import tokens_of_rows
from schemas.base import content_id

ROW = st.lists(st.sampled_from("abcdefghij"), min_size=3, max_size=7).map(tuple)
SIZES = st.fixed_dictionaries({name: st.integers(0, 6) for name in ("sft", "dpo", "test")})
NONE = {"sft": 0, "dpo": 0, "test": 0}


def placed(rows, general, safety, strata):
    splits = Splits(tokens_of_rows(rows), general, safety)
    fates = {}
    for safe in (True, False):
        fates |= splits.place(np.flatnonzero(np.array(strata, bool) == safe), safe)
    return splits, [fates.get(row, Left("the splits are full")) for row in range(len(rows))]


@given(rows=st.lists(ROW, max_size=30, unique=True), general=SIZES, safety=SIZES, data=st.data())
@settings(max_examples=200, deadline=None)
def test_near_duplicates_never_stand_in_two_splits(rows, general, safety, data):
    strata = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    splits, _ = placed(rows, general, safety, strata)
    for row, split in splits.split_of.items():
        for other, its in splits.split_of.items():
            assert split == its or sim(rows[row], rows[other]) < NEAR - GUARD


@given(rows=st.lists(ROW, max_size=30, unique=True), general=SIZES, safety=SIZES, data=st.data())
@settings(max_examples=200, deadline=None)
def test_no_split_gets_more_than_it_wants_and_all_is_counted(rows, general, safety, data):
    strata = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    splits, fates = placed(rows, general, safety, strata)
    counted = Counter((fate, safe) for fate, safe in zip(fates, strata, strict=True) if not isinstance(fate, Left))
    for name, sizes_of in splits.filled().items():
        assert counted[name, False] == sizes_of["general"] <= general[name]
        assert counted[name, True] == sizes_of["safety"] <= safety[name]


def unlike(count):
    return [tuple(f"{row}{word}" for word in "abcde") for row in range(count)]


def test_a_large_source_fills_every_split():
    splits, fates = placed(unlike(40), {"sft": 9, "dpo": 6, "test": 3}, NONE, [False] * 40)
    assert Counter(fate for fate in fates if not isinstance(fate, Left)) == {"sft": 9, "dpo": 6, "test": 3}
    assert {fate.detail for fate in fates if isinstance(fate, Left)} == {"the splits are full"}
    assert splits.short() == []


def test_a_small_source_fills_the_splits_in_proportion():
    splits, _ = placed(unlike(12), {"sft": 60, "dpo": 40, "test": 20}, NONE, [False] * 12)
    assert [splits.filled()[name]["general"] for name in ("sft", "dpo", "test")] == [6, 4, 2]
    assert splits.short()[0] == "sft has 6 of 60 general queries"


def test_a_near_duplicate_goes_where_the_first_went():
    rows = [tuple("abcdefg"), *unlike(3), tuple("abcdefx")]
    _, fates = placed(rows, {"sft": 3, "dpo": 3, "test": 3}, NONE, [False] * 5)
    assert fates[4] == fates[0]


def test_a_row_between_two_splits_stays_out_and_names_its_neighbour():
    rows = [tuple("abcdefg"), tuple("abcXefg"), tuple("abcdXefg")]
    assert sim(rows[0], rows[1]) < NEAR <= min(sim(rows[0], rows[2]), sim(rows[1], rows[2]))
    _, fates = placed(rows, {"sft": 1, "dpo": 1, "test": 1}, NONE, [False] * 3)
    assert fates[:2] == ["sft", "dpo"]
    assert fates[2].detail == "near-duplicates of it stand in two splits"
    assert fates[2].row == 0


@given(ids=st.lists(st.text(max_size=4), unique=True, max_size=12), seed=st.integers(0, 3), more=st.text(max_size=5))
def test_more_queries_do_not_reorder_the_draw(ids, seed, more):
    order = [ids[row] for row in drawn(ids, seed)]
    if more not in ids:
        longer = [*ids, more]
        assert [longer[row] for row in drawn(longer, seed) if longer[row] != more] == order


def test_another_seed_draws_another_order():
    ids = [str(number) for number in range(20)]
    assert drawn(ids, 0).tolist() == drawn(ids, 0).tolist() != drawn(ids, 1).tolist()


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5), seed=st.integers(0, 3))
def test_ids_and_the_draw_are_those_of_content_id(texts, seed):
    ids = [content_id(text) for text in texts]
    assert spelled(query_heads(texts)).to_list() == ids
    assert drawn(ids, seed).tolist() == sorted(range(len(ids)), key=lambda row: content_id("draw", seed, ids[row]))


def test_sizes_are_those_of_the_params(laptop):
    params = laptop.queries
    assert sizes(params, safety=False) == {"sft": params.sft, "dpo": params.dpo, "test": params.test}
    assert sizes(params, safety=True)["dpo"] == params.dpo_safety
