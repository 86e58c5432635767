"""Draws the splits sft, dpo and test (VPO S0 9: 10k, 10k, about 1k of each unsafe) from the queries that are left.

Sampling is a step of its own: at no sensible similarity does a filter leave 20k of a million queries. Near-duplicates
never stand in different splits, since a query answered in training would be no test.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.curation.similar import SimilarIndex
from schemas.base import Split, content_id
from schemas.params import Queries

NEAR = 0.5
"""sim from which two queries share a split; ours: looser than the filter, at 0.5 they still tell the same scene."""

Sizes = dict[Split, int]


def sizes(params: Queries, safety: bool) -> Sizes:
    """Return how many general or safety queries each split asks for."""
    if safety:
        return {"sft": params.sft_safety, "dpo": params.dpo_safety, "test": params.test_safety}
    return {"sft": params.sft, "dpo": params.dpo, "test": params.test}


def drawn(query_ids: Sequence[str], seed: int) -> list[int]:
    """Return the indices of `query_ids` in a random order that depends on the seed and each id alone.

    So a longer source changes the draw of no query that was there before.
    """
    return sorted(range(len(query_ids)), key=lambda row: content_id("draw", seed, query_ids[row]))


@dataclass(frozen=True, slots=True)
class Left:
    """Why a query is in no split; `row` and `score` name the near-duplicate that stands in its way."""

    detail: str
    row: int | None = None
    score: float | None = None


class Splits:
    """Places rows (token lists, by index) one by one; each stratum, general and safety, has its own sizes."""

    def __init__(self, rows: Sequence[Sequence[str]], general: Sizes, safety: Sizes):
        self.index = SimilarIndex(rows, NEAR)
        self.wanted = {False: general, True: safety}
        self.placed: dict[bool, Sizes] = {stratum: dict.fromkeys(general, 0) for stratum in (False, True)}
        self.split_of: dict[int, Split] = {}

    def missing(self, safety: bool) -> int:
        """Return how many rows of a stratum are still wanted."""
        return sum(self.wanted[safety].values()) - sum(self.placed[safety].values())

    def place(self, row: int, safety: bool) -> Split | Left:
        """Return the split that a row goes to: that of its near-duplicates, else the one that lacks the largest share.

        A source that is too small thereby fills all splits in proportion.
        """
        wanted, placed = self.wanted[safety], self.placed[safety]
        if not self.missing(safety):
            return Left("the splits are full")
        near = list(self.index.similar(row))
        splits = {self.split_of[other] for other, _ in near}
        if len(splits) > 1:
            return Left("near-duplicates of it stand in two splits", *near[0])
        open_splits = [name for name in wanted if placed[name] < wanted[name] and (not splits or name in splits)]
        if not open_splits:
            return Left("the split of its near-duplicates is full", *near[0])
        split = min(open_splits, key=lambda name: (placed[name] + 0.5) / wanted[name])
        placed[split] += 1
        self.split_of[row] = split
        self.index.add(row)
        return split

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
