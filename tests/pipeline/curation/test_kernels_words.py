import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.kernels_words import find_first_equal, find_words, number_words, take_rows
from pipeline.curation.tokens import to_utf8

ROWS = st.lists(st.lists(st.sampled_from(["a", "b", "ab", "é", "犬"]), max_size=4), max_size=12)


def arrays(rows):
    """Return (words, starts) of lists of words, numbered by first occurrence."""
    ids: dict[str, int] = {}
    words = [ids.setdefault(word, len(ids)) for row in rows for word in row]
    return np.array(words, np.int32), np.cumsum([0, *map(len, rows)], dtype=np.int64), list(ids)


@given(rows=ROWS)
def test_words_are_numbered_by_first_occurrence(rows):
    text, offsets = to_utf8(pl.Series([" ".join(row) for row in rows], dtype=pl.String))
    words, starts, begins, sizes = number_words(text, offsets)
    expected_words, expected_starts, vocabulary = arrays(rows)
    assert words.tolist() == expected_words.tolist()
    assert starts.tolist() == expected_starts.tolist()
    spelled = [bytes(text[begin : begin + size]).decode() for begin, size in zip(begins, sizes, strict=True)]
    assert spelled == vocabulary


def test_a_vocabulary_larger_than_the_first_table_is_numbered():
    names = [f"w{number}" for number in range(70_000)]
    words, _, _, sizes = number_words(*to_utf8(pl.Series([" ".join([*names, *names])])))
    assert words.tolist() == [*range(70_000), *range(70_000)]
    assert sizes[-1] == len("w69999")


@given(
    few=st.lists(st.text(max_size=4).filter(lambda word: word and " " not in word), unique=True, max_size=8),
    many=st.lists(st.text(max_size=4), unique=True, max_size=12),
)
def test_a_word_is_found_in_the_row_that_equals_it(few, many):
    text, offsets = to_utf8(pl.Series([" ".join(few)], dtype=pl.String))
    _, _, begins, sizes = number_words(text, offsets)
    rows = find_words(text, begins, sizes, *to_utf8(pl.Series(many, dtype=pl.String)))
    assert rows.tolist() == [many.index(word) if word in many else -1 for word in few]


def test_words_that_differ_in_one_byte_are_told_apart():
    few, many = ["w1", "w10", "é", "e"], [f"w{number}" for number in range(5000)] + ["e\u0301", "é"]
    text, offsets = to_utf8(pl.Series([" ".join(few)], dtype=pl.String))
    _, _, begins, sizes = number_words(text, offsets)
    assert find_words(text, begins, sizes, *to_utf8(pl.Series(many))).tolist() == [1, 10, 5001, -1]


@given(rows=ROWS, data=st.data())
def test_rows_are_taken_in_the_order_given(rows, data):
    words, starts, _ = arrays(rows)
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)) if rows else []
    some, begins = take_rows(words, starts, np.array(indices, np.int64))
    expected = [words[starts[row] : starts[row + 1]].tolist() for row in indices]
    assert [some[begins[i] : begins[i + 1]].tolist() for i in range(len(indices))] == expected


@given(rows=ROWS, share=st.floats(0, 1))
def test_the_first_equal_row_is_that_of_a_plain_search(rows, share):
    words, starts, _ = arrays(rows)
    expected = [rows.index(row) for row in rows]
    done = int(len(rows) * share)
    earlier = np.array(expected[:done], np.int32)
    assert find_first_equal(words, starts, earlier).tolist() == expected
