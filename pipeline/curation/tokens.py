"""Token lists of many rows as numbers: equal words have equal ids, row after row in one array."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tokens:
    """Row r holds words[starts[r] : starts[r + 1]], ids in `vocabulary` (a polars column of words)."""

    words: np.ndarray
    starts: np.ndarray
    vocabulary: object

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def first_equal(self, known: np.ndarray | None = None) -> np.ndarray:
        """Return for each row the first row with the same words; `known` is this of the first rows."""
        from pipeline.curation import kernels_words

        return kernels_words.first_equal(self.words, self.starts, np.empty(0, np.int32) if known is None else known)

    def take(self, rows: np.ndarray) -> "Tokens":
        """Return the rows with these indices, in that order."""
        from pipeline.curation import kernels_words

        return Tokens(*kernels_words.taken(self.words, self.starts, rows), self.vocabulary)

    def followed_by(self, said) -> "Tokens":
        """Return these rows and behind them those of a polars column of texts: words with one space between two."""
        return self.and_then(self.others(said))

    def and_then(self, others: "Tokens") -> "Tokens":
        """Return these rows and behind them `others`, whose vocabulary begins with this one."""
        return Tokens(
            np.concatenate([self.words, others.words]),
            np.concatenate([self.starts, others.starts[1:] + self.starts[-1]]),
            others.vocabulary,
        )

    def others(self, said) -> "Tokens":
        """Return the rows of a polars column of texts alone, in a vocabulary that begins with this one."""
        import polars as pl

        from pipeline.curation import kernels_words

        text, offsets = utf8(said)
        words, starts, begins, sizes = kernels_words.word_ids(text, offsets)
        own = [bytes(text[begin : begin + size]) for begin, size in zip(begins, sizes, strict=True)]
        own = pl.Series("words", own, pl.Binary).cast(pl.String).to_frame()
        known = self.vocabulary.alias("words").to_frame().with_row_index("id")
        known_id = own.join(known, on="words", how="left", maintain_order="left")["id"]
        new = known_id.is_null()
        ids = known_id.cast(pl.Int32).fill_null(-1).to_numpy()
        ids = np.where(ids < 0, np.cumsum(new.to_numpy()) - 1 + len(self.vocabulary), ids).astype(np.int32)
        vocabulary = pl.concat([self.vocabulary.alias("words"), own["words"].filter(new)])
        return Tokens(ids[words], starts, vocabulary)


def utf8(texts) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of a polars column of texts, end to end, and where each begins: row r at [r] : [r + 1]."""
    column = texts.rechunk().to_arrow()
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(column.buffers()[2] or b"", np.uint8), offsets


def tokens_of(said) -> Tokens:
    """Return the tokens of a polars column of texts: words with one space between two."""
    import polars as pl

    none = Tokens(np.zeros(0, np.int32), np.zeros(1, np.int64), pl.Series("words", [], pl.String))
    return none.followed_by(said.alias("words"))


def tokens_of_rows(rows: Iterable[Sequence[str]]) -> Tokens:
    """Return the tokens of lists of words."""
    import polars as pl

    return tokens_of(pl.Series([" ".join(row) for row in rows], dtype=pl.String))
