"""Ids by content, and rows that refuse what they do not know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.base import Dropped, Pair, content_id, text_id


def test_an_id_is_16_hex_digits_and_the_same_in_every_version():
    assert content_id("a dog") == "46b109818470fa35"


def test_parts_are_kept_apart():
    assert content_id("ab", "c") != content_id("a", "bc")


def test_the_order_of_a_mappings_keys_does_not_count():
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})


def test_half_a_character_has_an_id_too():
    assert len(content_id("\ud83d")) == 16


def test_a_column_that_a_row_does_not_have_is_refused():
    with pytest.raises(ValidationError, match="reson"):
        Dropped(input_id="1", reson="empty")


def test_a_row_does_not_change():
    row = Dropped(input_id="1", reason="empty")
    with pytest.raises(ValidationError, match="frozen"):
        row.reason = "other"


@given(st.lists(st.text(), min_size=1, max_size=2))
def test_the_quick_hash_of_texts_is_that_of_any_values(texts):
    assert text_id(*texts) == content_id(*texts)


def test_a_pair_whose_sides_were_exchanged_by_hand_has_a_wrong_id():
    fields = dict(query="x", source="text", rule="r", chosen_origin="policy", decided_by=(), safety=False)
    texts = {"chosen": "good", "rejected": "bad"}
    query_id = content_id("x")
    ids = {f"{name}_id": content_id(query_id, text) for name, text in texts.items()}
    pair = Pair(query_id=query_id, pair_id=content_id(query_id, "good", "bad", "text"), **texts, **ids, **fields)
    assert pair.find_fault() == ""
    assert pair.model_copy(update={"chosen": "bad", "rejected": "good"}).find_fault().startswith("pair_id: not that of")
