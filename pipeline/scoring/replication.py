"""How much of a reward's difference is the seed's luck: the prompts that were rendered twice, compared (ours).

The papers render each prompt once, so a pair may only tell which seed was the lucky one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import sqrt

from pipeline.runtime.io import DataError
from pipeline.scoring.exact import Score, subtract
from schemas.base import Pair
from schemas.render import Render

LEAST = 10
"""Pairs of prompts below which a deviation says nothing."""


@dataclass(frozen=True)
class Replicates:
    """Scores of prompts whose clips were made with two seeds: query_id -> prompt_id -> (first, second)."""

    by_query: Mapping[str, Mapping[str, tuple[Score, Score]]]

    @property
    def differences(self) -> list[tuple[Fraction, Fraction]]:
        """The score differences of two sibling prompts, under the first seed and under the second."""
        return [
            (subtract(one[0], other[0]), subtract(one[1], other[1]))
            for siblings in self.by_query.values()
            for one, other in combinations(siblings.values(), 2)
        ]

    def noise(self) -> float:
        """Return the standard deviation that a new seed gives the difference of two siblings.

        Raises DataError where too few were rendered twice.
        """
        differences = self.differences
        if len(differences) < LEAST:
            raise DataError(
                f"dpo.min_effect: {len(differences)} pairs of prompts were rendered twice, {LEAST} are needed: "
                "raise reward.replicate"
            )
        # two draws of one difference differ by twice the variance of one
        return sqrt(sum((first - second) ** 2 for first, second in differences) / len(differences) / 2)

    def count_kept(self, pairs: Iterable[Pair]) -> dict:
        """Return how many of the pairs that were rendered twice keep their sign under the second seed."""
        seconds = [
            subtract(siblings[pair.chosen_id][1], siblings[pair.rejected_id][1])
            for pair in pairs
            if {pair.chosen_id, pair.rejected_id} <= (siblings := self.by_query.get(pair.query_id, {})).keys()
        ]
        kept = sum(difference > 0 for difference in seconds)
        if not seconds:
            return {"pairs": 0, "kept": 0}
        low, high = wilson(kept, len(seconds))
        return {"pairs": len(seconds), "kept": kept, "share": kept / len(seconds), "low": low, "high": high}


def find_replicates(rows: Iterable[Render], score: Mapping[str, Score]) -> Replicates:
    """Return the prompts that have a scored clip of both seeds; `score` is by video_id."""
    by_prompt: dict[tuple[str, str], dict[int, Score]] = defaultdict(dict)
    for row in rows:
        if row.video_id in score:
            by_prompt[row.query_id, row.prompt_id][row.replicate] = score[row.video_id]
    by_query: dict[str, dict[str, tuple[Score, Score]]] = defaultdict(dict)
    for (query_id, prompt_id), values in by_prompt.items():
        if values.keys() >= {0, 1}:
            by_query[query_id][prompt_id] = values[0], values[1]
    return Replicates(by_query)


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score."""
    share, spread = successes / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / n / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
