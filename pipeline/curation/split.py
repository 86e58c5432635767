"""Places queries into the splits sft, dpo and test (VPO S0 9: 10k, 10k, about 1k of each unsafe).

Sampling is a step of its own: at no sensible similarity does a filter leave 20k of a million queries. Near-duplicates
never stand in different splits, since a query answered in training would be no test. Which split a query prefers
follows from its id, the seed and the wanted sizes alone: a longer source moves few of those that were there before.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pipeline.curation.arrays import Ints, UInt64s
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.similarity_index import SimilarityIndex
from pipeline.curation.tokens import Tokens
from schemas.base import Split, content_id
from schemas.params import QueriesParams

NEAR = 0.5
"""sim from which two queries share a split; ours: looser than the filter, at 0.5 they still tell the same scene."""

LEAST_AHEAD = 512
"""Rows that are indexed ahead of those placed, at least. Ours: for fewer, making the index anew costs too much."""

Sizes: TypeAlias = dict[Split, int]


def read_sizes(params: QueriesParams, safety: bool) -> Sizes:
    """Return how many general or safety queries the params want in each split."""
    if safety:
        return {"sft": params.sft_safety, "dpo": params.dpo_safety, "test": params.test_safety}
    return {"sft": params.sft, "dpo": params.dpo, "test": params.test}


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Why a query is in no split; `row` and `score` name the near-duplicate that stands in its way."""

    detail: str
    row: int | None = None
    score: float | None = None


class Splits:
    """Places rows of token lists, by index; each stratum, general and safety, has its own sizes.

    `heads` has the id of each row as a number.
    """

    def __init__(self, tokens: Tokens, heads: UInt64s, general: Sizes, safety: Sizes, seed: int) -> None:
        self.tokens, self.heads, self.seed = tokens, heads, seed
        self.wanted = {False: general, True: safety}
        self.placed: dict[bool, Sizes] = {stratum: dict.fromkeys(general, 0) for stratum in (False, True)}
        self.split_of: dict[int, Split] = {}

    def count_missing(self, safety: bool) -> int:
        """Return how many rows of a stratum are still wanted."""
        return sum(self.wanted[safety].values()) - sum(self.placed[safety].values())

    def place(self, rows: Ints, safety: bool) -> dict[int, Split | Unplaced]:
        """Place rows in this order until the splits are full, and return the fate of each that was looked at."""
        fates: dict[int, Split | Unplaced] = {}
        while (missing := self.count_missing(safety)) and len(fates) < len(rows):
            # the index is made anew for the rows placed and a few ahead: most of a large source is never looked at
            ahead = rows[len(fates) :][: max(2 * missing, LEAST_AHEAD)]
            indexed = np.array([*self.split_of, *ahead.tolist()], np.int64)
            index = SimilarityIndex(Ngrams(self.tokens.take(indexed)), NEAR)
            index.add(range(len(self.split_of)))
            for place in range(len(self.split_of), len(indexed)):
                if not self.count_missing(safety):
                    break
                near = [(int(indexed[other]), score) for other, score in index.find_similar(place)]
                fate = self._choose(int(indexed[place]), near, safety)
                fates[int(indexed[place])] = fate
                if not isinstance(fate, Unplaced):
                    self.placed[safety][fate] += 1
                    self.split_of[int(indexed[place])] = fate
                    index.add([place])
        return fates

    def _choose(self, row: int, near: list[tuple[int, float]], safety: bool) -> Split | Unplaced:
        """Return the split that a row goes to: that of its near-duplicates, else the one it prefers of those not full.

        A small source fills the splits in proportion but for chance; none stays empty whose share of it is a whole row.
        """
        wanted, placed = self.wanted[safety], self.placed[safety]
        splits = {self.split_of[other] for other, _ in near}
        if len(splits) > 1:
            return Unplaced("near-duplicates of it stand in two splits", *near[0])
        open_splits = [name for name in wanted if placed[name] < wanted[name] and (not splits or name in splits)]
        if not open_splits:
            return Unplaced("the split of its near-duplicates is full", *near[0])
        share = (sum(placed.values()) + 1) / sum(wanted.values())
        empty = [name for name in open_splits if not placed[name] and share * wanted[name] >= 1]
        return min(empty or open_splits, key=lambda name: self._wait(row, name) / wanted[name])

    def _wait(self, row: int, split: Split) -> float:
        """Return how long a row waits for a split, an exponential draw: of several the first wins in their proportion.

        Ours, and not a turn for each split: whoever waits its turn changes split when a row comes before it.
        """
        chance = int(content_id("split", self.seed, f"{self.heads[row]:016x}", split), 16)
        return -math.log((chance + 1) / 2**64)

    def report_sizes(self) -> dict[Split, dict[str, int]]:
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

    def report_shortages(self) -> list[str]:
        """Return a line for each split and stratum that the source could not fill."""
        return [
            f"{name} has {placed[name]} of {self.wanted[safety][name]} {'safety' if safety else 'general'} queries"
            for safety, placed in self.placed.items()
            for name in placed
            if placed[name] < self.wanted[safety][name]
        ]
