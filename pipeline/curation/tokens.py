"""Token lists of many rows as numbers: equal words have equal ids, row after row in one array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.curation.arrays import Bytes, Int32s, Int64s, Ints

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Tokens:
    """Row r holds words[starts[r] : starts[r + 1]], ids in `vocabulary` (a polars column of distinct words)."""

    words: Int32s
    starts: Int64s
    vocabulary: pl.Series

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int64s:
        """The number of words in each row, (rows,)."""
        return np.diff(self.starts)

    def find_first_equal(self, earlier: Int32s | None = None) -> Int32s:
        """Return for each row the first row with the same words, (rows,); `earlier` holds it for the first rows."""
        from pipeline.curation import kernels_words

        return kernels_words.find_first_equal(
            self.words, self.starts, np.empty(0, np.int32) if earlier is None else earlier
        )

    def take(self, rows: Ints) -> Tokens:
        """Return the rows with these indices, in that order."""
        from pipeline.curation import kernels_words

        words, starts = kernels_words.take_rows(self.words, self.starts, rows)
        return Tokens(words, starts, self.vocabulary)

    def append_texts(self, texts: pl.Series) -> Tokens:
        """Return these rows and behind them those of a column of texts: words with one space between two."""
        return self.append(self.number_texts(texts))

    def append(self, others: Tokens) -> Tokens:
        """Return these rows and behind them `others`, whose vocabulary begins with this one."""
        return Tokens(
            np.concatenate([self.words, others.words]),
            np.concatenate([self.starts, others.starts[1:] + self.starts[-1]]),
            others.vocabulary,
        )

    def number_texts(self, texts: pl.Series) -> Tokens:
        """Return the rows of a column of texts alone, in a vocabulary that begins with this one."""
        import polars as pl

        from pipeline.curation import kernels_words

        text, offsets = to_utf8(texts)
        words, starts, begins, sizes = kernels_words.number_words(text, offsets)
        ids = kernels_words.find_words(text, begins, sizes, *to_utf8(self.vocabulary))
        is_new = ids < 0
        ids[is_new] = np.arange(is_new.sum()) + len(self.vocabulary)
        own = from_utf8(text, begins[is_new], sizes[is_new])
        longer = pl.concat([self.vocabulary.alias("words"), own.alias("words")])
        return Tokens(ids[words], starts, longer)


def to_utf8(texts: pl.Series) -> tuple[Bytes, Int64s]:
    """Return the bytes of a column of texts, end to end, and where each begins: row r at [r] : [r + 1]."""
    column = texts.rechunk().to_arrow()
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(column.buffers()[2] or b"", np.uint8), offsets


def from_utf8(text: Bytes, begins: Int64s, sizes: Int64s) -> pl.Series:
    """Return a column of texts from bytes that lie anywhere in `text`, row r being sizes[r] bytes at begins[r]."""
    import polars as pl
    import pyarrow as pa

    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    places = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], sizes)
    buffers = pa.py_buffer(offsets), pa.py_buffer(text[places])
    return pl.Series(pa.LargeStringArray.from_buffers(len(sizes), *buffers), dtype=pl.String)


def tokenize(texts: pl.Series) -> Tokens:
    """Return the tokens of a column of texts: words with one space between two."""
    import polars as pl

    empty = Tokens(np.zeros(0, np.int32), np.zeros(1, np.int64), pl.Series("words", [], pl.String))
    return empty.append_texts(texts.alias("words"))
