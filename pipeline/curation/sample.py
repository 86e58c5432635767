"""Stratified sampling: the order in which queries are drawn. From a million to 20k it decides what is learned.

Ours: VPO (S0 9) says how many it took, not how. Sample `uniform` draws by chance alone. `stratified` draws from
strata, the combinations of length, content, style and difficulty, so that every stretch of the order holds each
stratum in its share. Both follow a hash of seed and query, so that rows added to the source move few others.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.curation.arrays import Bytes, Floats, Int64s, Ints
from pipeline.curation.query_ids import order_by_chance
from pipeline.curation.tokens import Tokens
from pipeline.runtime.io import DataError
from schemas.base import content_id

if TYPE_CHECKING:
    import polars as pl

LENGTHS = {"1-6 words": 0, "7-12 words": 7, "13-24 words": 13, "25 words and more": 25}
"""Length -> its fewest words. Ours."""
DIFFICULTIES = {"easy": 0, "medium": 3, "hard": 6}
"""Difficulty -> its fewest distinct words that name a thing, a motion or a camera move. Ours."""
NONE = "none"


@dataclass(frozen=True)
class Strata:
    """For each facet the names of its values, and per row the place of its value among them."""

    names: dict[str, list[str]]
    codes: Mapping[str, Ints]

    def __len__(self) -> int:
        return len(self.codes["length"])

    def take(self, rows: Ints) -> Strata:
        """Return the strata of the rows with these indices."""
        return Strata(self.names, {facet: codes[rows] for facet, codes in self.codes.items()})


@functools.cache
def _read_lists() -> dict[str, dict[str, list[str]]]:
    """Return facet -> value -> words, as sample.txt has them."""
    lists: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            names, words = line.split(": ")
            facet, _, value = names.partition(" ")
            lists[facet][value or facet] += words.split()
    return {facet: dict(values) for facet, values in lists.items()}


def list_facets() -> dict[str, list[str]]:
    """Return the facets and their values."""
    listed = {facet: [NONE, *_read_lists()[facet]] for facet in ("content", "style")}
    return {"length": list(LENGTHS), **listed, "difficulty": list(DIFFICULTIES)}


def stratify(tokens: Tokens) -> Strata:
    """Return the strata of rows."""
    codes: dict[str, Ints] = {
        facet: _find_first_list(tokens, _number_lists(tokens, list(_read_lists()[facet].values())))
        for facet in ("content", "style")
    }
    lengths = np.searchsorted(list(LENGTHS.values())[1:], tokens.lengths, side="right")
    counts = _count_distinct(tokens, _number_lists(tokens, [list_counted_words()]))
    difficulty = np.searchsorted(list(DIFFICULTIES.values())[1:], counts, side="right")
    every: dict[str, Ints] = {"length": lengths, **codes, "difficulty": difficulty}
    return Strata(list_facets(), {facet: code.astype(np.uint8) for facet, code in every.items()})


def list_counted_words() -> list[str]:
    """Return the words that make a query difficult."""
    lists = _read_lists()
    return [word for facet in ("content", "motion", "camera") for words in lists[facet].values() for word in words]


def _number_lists(tokens: Tokens, lists: list[list[str]]) -> Bytes:
    """Return per word of the vocabulary the number (from 1) of the list that holds it, 0 for none."""
    import polars as pl

    number_of = {word: number for number, listed in enumerate(lists, 1) for word in listed}
    return tokens.vocabulary.replace_strict(number_of, default=0, return_dtype=pl.UInt8).to_numpy()


def _find_first_list(tokens: Tokens, listed: Bytes) -> Bytes:
    """Return per row the number of the list that holds the first of its words that is in one, 0 for none."""
    of_word = listed[tokens.words]
    place = np.flatnonzero(of_word)
    row = np.searchsorted(tokens.starts, place, side="right") - 1
    first = np.flatnonzero(np.diff(row, prepend=-1))
    numbers = np.zeros(len(tokens), np.uint8)
    numbers[row[first]] = of_word[place[first]]
    return numbers


def _count_distinct(tokens: Tokens, listed: Bytes) -> Int64s:
    """Return per row how many different words it has that are listed."""
    place = np.flatnonzero(listed[tokens.words])
    row = np.searchsorted(tokens.starts, place, side="right") - 1
    pairs = np.unique(row * np.int64(len(listed)) + tokens.words[place])
    return np.bincount(pairs // max(len(listed), 1), minlength=len(tokens))


def order_by_strata(
    query_ids: Sequence[str] | pl.Series,
    seed: int,
    strata: Strata,
    balance: float,
    weights: Mapping[str, Mapping[str, float]],
) -> Int64s:
    """Return the indices of the rows in the order they are drawn in, each stretch with each stratum in its share.

    `balance` 0 gives each stratum its share of the source, 1 the same share to all; `weights` multiply it (facet ->
    value -> factor, 1 where none is named). Raises DataError for an unknown facet or value.
    """
    by_chance = order_by_chance(query_ids, seed)
    if not len(query_ids):
        return by_chance
    cell, values, counts = _group_rows(strata)
    share = counts ** (1.0 - balance) * _weigh(strata, values, weights)
    share /= share.sum() or 1.0
    grouped = np.argsort(cell[by_chance], kind="stable")
    rank = np.empty(len(cell))
    rank[by_chance[grouped]] = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    # a row stands where its stratum's share is due; without a start by chance, rare strata would never be drawn
    start = np.array([int(content_id("stratum", seed, value), 16) / 2**64 for value in values.tolist()])
    with np.errstate(divide="ignore"):
        due = (rank + start[cell]) / share[cell]
    return by_chance[np.argsort(due[by_chance], kind="stable")]


def _group_rows(strata: Strata) -> tuple[Int64s, Int64s, Int64s]:
    """Return each row's stratum, the codes of each stratum (one column a facet), and how many rows it has."""
    sizes = [len(names) for names in strata.names.values()]
    packed = np.ravel_multi_index([strata.codes[facet] for facet in strata.names], sizes)
    distinct, cell, counts = np.unique(packed, return_inverse=True, return_counts=True)
    return cell, np.stack(np.unravel_index(distinct, sizes), axis=1), counts


def _weigh(strata: Strata, values: Int64s, weights: Mapping[str, Mapping[str, float]]) -> Floats:
    factors = np.ones(len(values))
    for facet, by_value in weights.items():
        if facet not in strata.names:
            raise DataError(f"queries.sample_weights: no facet {facet!r}; there are {', '.join(strata.names)}")
        names = strata.names[facet]
        if unknown := set(by_value) - set(names):
            raise DataError(f"queries.sample_weights.{facet}: no value {min(unknown)!r}; there are {', '.join(names)}")
        table = np.array([by_value.get(name, 1.0) for name in names])
        factors *= table[values[:, list(strata.names).index(facet)]]
    if not factors.any():
        raise DataError("queries.sample_weights: every stratum of the source has weight 0; no query can be drawn")
    return factors


def measure_coverage(strata: Strata, rows: Ints) -> dict[str, dict[str, dict[str, float]]]:
    """Return facet -> value -> its share (0..1) of the source and of the drawn rows."""
    coverage = {}
    for facet, names in strata.names.items():
        codes = strata.codes[facet]
        shares = [np.bincount(some, minlength=len(names)) / max(len(some), 1) for some in (codes, codes[rows])]
        coverage[facet] = {
            name: {"source": round(float(source), 4), "drawn": round(float(drawn_share), 4)}
            for name, source, drawn_share in zip(names, *shares, strict=True)
        }
    return coverage
