"""Draws the splits sft, dpo and test (VPO S0 9: 10k, 10k, about 1k of each unsafe) from the queries that are left.

Sampling is a step of its own: at no sensible similarity does a filter leave 20k of a million queries. Near-duplicates
never stand in different splits, since a query answered in training would be no test.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring

import numpy as np

from pipeline.curation.ngrams import Ngrams
from pipeline.curation.similar import SimilarIndex
from pipeline.curation.tokens import Tokens, utf8
from schemas.base import Split
from schemas.params import QueriesParams

NEAR = 0.5
"""sim from which two queries share a split; ours: looser than the filter, at 0.5 they still tell the same scene."""

LEAST_AHEAD = 512

Sizes = dict[Split, int]


def sizes(params: QueriesParams, safety: bool) -> Sizes:
    """Return how many general or safety queries each split asks for."""
    if safety:
        return {"sft": params.sft_safety, "dpo": params.dpo_safety, "test": params.test_safety}
    return {"sft": params.sft, "dpo": params.dpo, "test": params.test}


def drawn(query_ids: Sequence[str], seed: int) -> np.ndarray:
    """Return the indices of `query_ids` in a random order that depends on the seed and each id alone.

    So a longer source changes the draw of no query that was there before.
    """
    import polars as pl

    # content_id("draw", seed, id), spelled out: a million of them
    names = pl.Series("name", query_ids, pl.String)
    return np.argsort(
        _heads(names.to_frame().select(pl.format(f'["draw",{seed},"{{}}"]', "name")).to_series()), kind="stable"
    )


def query_heads(queries: Iterable[str]) -> np.ndarray:
    """Return content_id of each query as a number of 64 bits: a million of them in a second."""
    import polars as pl

    queries = pl.Series("query", queries, pl.String)
    plain = pl.col("query").str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    encoded = queries.to_frame().select(pl.format('["{}"]', plain)).to_series()
    heads = _heads(encoded)
    for at in queries.str.contains(r"[\x00-\x1f]").arg_true():  # which JSON spells in ways of their own
        heads[at] = int(hashlib.sha256(f"[{encode_basestring(queries[at])}]".encode()).hexdigest()[:16], 16)
    return heads


def spelled(heads: np.ndarray):
    """Return a polars column of the ids whose numbers these are: 16 hex digits each."""
    import polars as pl
    import pyarrow as pa

    digits = heads.astype(">u8").tobytes().hex().encode()
    begins = np.arange(0, len(digits) + 1, 16)
    return pl.Series(pa.LargeStringArray.from_buffers(len(heads), pa.py_buffer(begins), pa.py_buffer(digits)))


def _heads(texts) -> np.ndarray:
    from pipeline.curation import kernels_sha256

    return kernels_sha256.sha256_heads(*utf8(texts))


@dataclass(frozen=True, slots=True)
class Left:
    """Why a query is in no split; `row` and `score` name the near-duplicate that stands in its way."""

    detail: str
    row: int | None = None
    score: float | None = None


class Splits:
    """Places rows of token lists, by index; each stratum, general and safety, has its own sizes."""

    def __init__(self, tokens: Tokens, general: Sizes, safety: Sizes):
        self.tokens = tokens
        self.wanted = {False: general, True: safety}
        self.placed: dict[bool, Sizes] = {stratum: dict.fromkeys(general, 0) for stratum in (False, True)}
        self.split_of: dict[int, Split] = {}

    def missing(self, safety: bool) -> int:
        """Return how many rows of a stratum are still wanted."""
        return sum(self.wanted[safety].values()) - sum(self.placed[safety].values())

    def place(self, rows: np.ndarray, safety: bool) -> dict[int, Split | Left]:
        """Place rows in this order until the splits are full, and return what became of those that were looked at."""
        fates: dict[int, Split | Left] = {}
        while (missing := self.missing(safety)) and len(fates) < len(rows):
            # the index is made anew for the rows placed and a few ahead: most of a large source is never looked at
            ahead = rows[len(fates) :][: max(2 * missing, LEAST_AHEAD)]
            of = np.array([*self.split_of, *ahead.tolist()], np.int64)
            index = SimilarIndex(Ngrams(self.tokens.take(of)), NEAR)
            index.add(range(len(self.split_of)))
            for at in range(len(self.split_of), len(of)):
                if not self.missing(safety):
                    break
                near = [(int(of[other]), score) for other, score in index.similar(at)]
                fate = self._fate(near, safety)
                fates[int(of[at])] = fate
                if not isinstance(fate, Left):
                    self.placed[safety][fate] += 1
                    self.split_of[int(of[at])] = fate
                    index.add([at])
        return fates

    def _fate(self, near: list[tuple[int, float]], safety: bool) -> Split | Left:
        """Return the split that a row goes to: that of its near-duplicates, else the one that lacks the largest share.

        A source that is too small thereby fills all splits in proportion.
        """
        wanted, placed = self.wanted[safety], self.placed[safety]
        splits = {self.split_of[other] for other, _ in near}
        if len(splits) > 1:
            return Left("near-duplicates of it stand in two splits", *near[0])
        open_splits = [name for name in wanted if placed[name] < wanted[name] and (not splits or name in splits)]
        if not open_splits:
            return Left("the split of its near-duplicates is full", *near[0])
        return min(open_splits, key=lambda name: (placed[name] + 0.5) / wanted[name])

    def filled(self) -> dict[Split, dict[str, int]]:
        """Return the size of each split, as it is and as it was wanted."""
        return {
            name: {
                "general": self.placed[False][name],
                "general_wanted": self.wanted[False][name],
                "safety": self.placed[True][name],
                "safety_wanted": self.wanted[True][name],
            }
            for name in self.wanted[False]
        }

    def short(self) -> list[str]:
        """Return a line for each split and stratum that the source could not fill."""
        return [
            f"{name} has {placed[name]} of {self.wanted[safety][name]} {'safety' if safety else 'general'} queries"
            for safety, placed in self.placed.items()
            for name in placed
            if placed[name] < self.wanted[safety][name]
        ]
