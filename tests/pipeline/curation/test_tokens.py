import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.tokens import to_utf8, tokenize
from tests.support.sim import ROWS, tokens_of


def spell(tokens):
    names = tokens.vocabulary.to_list()
    return [
        tuple(names[word] for word in tokens.words[begin:end])
        for begin, end in zip(tokens.starts, tokens.starts[1:], strict=False)
    ]


@given(rows=ROWS)
def test_tokens_spell_the_texts_they_were_made_of(rows):
    tokens = tokens_of(rows)
    assert spell(tokens) == list(rows)
    assert len(tokens) == len(rows)
    assert tokens.lengths.tolist() == list(map(len, rows))
    assert tokens.vocabulary.n_unique() == len(tokens.vocabulary)


@pytest.mark.slow
@given(rows=ROWS, more=ROWS)
def test_rows_behind_keep_the_ids_of_those_before(rows, more):
    before = tokens_of(rows)
    both = before.append_texts(pl.Series([" ".join(row) for row in more], dtype=pl.String))
    assert spell(both) == [*rows, *more]
    assert both.words[: len(before.words)].tolist() == before.words.tolist()
    assert both.vocabulary[: len(before.vocabulary)].to_list() == before.vocabulary.to_list()


def test_a_row_is_taken_by_its_index():
    tokens = tokens_of([("a", "b"), (), ("b",)])
    assert spell(tokens.take(np.array([2, 0]))) == [("b",), ("a", "b")]


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=5), start=st.integers(0, 5)
)
def test_utf8_of_a_slice_begins_at_its_own_offset(texts, start):
    part = pl.Series(texts, dtype=pl.String)[start:]
    text, offsets = to_utf8(part)
    read = [bytes(text[begin:end]).decode() for begin, end in zip(offsets, offsets[1:], strict=False)]
    assert read == texts[start:]


def test_no_text_has_no_tokens():
    assert len(tokenize(pl.Series([], dtype=pl.String))) == 0


@pytest.mark.slow  # numba
def test_the_first_row_with_the_same_words_is_found_also_behind_rows_that_were_compared_before():
    tokens = tokens_of([("a",), ("b", "a"), ("a",), (), ("b", "a"), ()])
    whole = [0, 1, 0, 3, 1, 3]
    assert tokens.find_first_equal().tolist() == whole
    for n in range(len(whole) + 1):
        assert tokens.find_first_equal(np.array(whole[:n], np.int32)).tolist() == whole
    wrong = np.array([0, 0], np.int32)  # what is handed in stays as it is
    assert tokens.find_first_equal(wrong)[:2].tolist() == [0, 0]
