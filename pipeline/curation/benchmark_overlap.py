"""Finds the queries that resemble a list of prompts, and counts what leaked all the same.

Ours: a query that resembles a test prompt would make the test easier or teach a copied answer, one that stands in two
splits would make the test split worthless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.curation.arrays import Floats, Int32s, Int64s
from pipeline.curation.drops import make_drops
from pipeline.curation.filters import FilterResult
from pipeline.curation.increment import KEPT, survey_rows
from pipeline.curation.ngrams import NUMBERED, PRESENT, Ngrams
from pipeline.curation.pii import DESCRIPTIONS, find_pii
from pipeline.curation.prohibited_content import is_prohibited
from pipeline.curation.similarity_index import SimilarityIndex
from pipeline.curation.tokens import Tokens
from pipeline.text.clean import clean, tokens
from schemas.reasons import Reason

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Overlap:
    """`left`: indices among the rows that passed the rules; `drops`: why the others leave; their number by list."""

    left: Int64s
    drops: pl.DataFrame
    counts: dict[str, int]


def drop_overlap(filtered: FilterResult, lists: Mapping[str, Sequence[str]], threshold: float) -> Overlap:
    """Drop the kept rows that resemble a prompt of `lists` (texts by the list's name), from sim = `threshold` on."""
    stays = filtered.witnesses.kept
    listed = [(name, number, text) for name, texts in lists.items() for number, text in enumerate(texts)]
    gone, prompts, scores = find_overlap(
        filtered.tokens, np.flatnonzero(stays), [text for *_, text in listed], threshold
    )
    detail = [describe_prompt(*listed[prompt]) for prompt in prompts]
    counts = Counter(listed[prompt][0] for prompt in prompts)
    stays[gone] = False
    return Overlap(
        np.flatnonzero(stays),
        make_drops(filtered.passed[gone], Reason.BENCHMARK.value, detail, scores),
        {name: counts[name] for name in lists},
    )


def find_overlap(
    queries: Tokens, rows: Int64s, prompts: Sequence[str], threshold: float
) -> tuple[Int64s, Int32s, Floats]:
    """Return (which of `rows` resemble a prompt, the number of the first such prompt, sim to it), one of each a row."""
    import polars as pl

    lines = pl.Series("words", [" ".join(tokens(text)) for text in prompts], pl.String)
    few = queries.number_texts(lines)
    sets = np.zeros(len(queries), np.int8)
    sets[rows] = KEPT
    near = np.flatnonzero(survey_rows(queries, sets, few, threshold, counting=False).near)
    both, n_rows = queries.take(near).append(few), len(near)
    # the prompts' n-grams alone get numbers: the rows are looked at through those
    role = np.repeat(np.array([PRESENT, NUMBERED], np.int8), [n_rows, len(few)])
    index = SimilarityIndex(Ngrams(both, role), threshold, len(prompts))
    index.add(range(n_rows, len(both)))
    witness, score = np.full(len(both), -1, np.int32), np.zeros(len(both))
    index.find_first_similar(np.arange(n_rows, dtype=np.int32), witness, score)
    gone = np.flatnonzero(witness[:n_rows] >= 0)
    return near[gone], witness[gone] - np.int32(n_rows), score[gone]


def describe_prompt(name: str, number: int, prompt: str) -> str:
    """Return how a row that leaves names the prompt it resembles: by its text, unless that may not be written down.

    `number` counts the prompts of list `name` from 0.
    """
    text = clean(prompt, keep_flags=True)
    hidden = is_prohibited(text) or find_pii(text, DESCRIPTIONS)
    return f"{name}: prompt {number + 1}" if hidden else f"{name}: {prompt}"


def count_leakage(
    drawn: Tokens, splits: Sequence[str], lists: Mapping[str, Sequence[str]], threshold: float
) -> dict[str, int]:
    """Return how many pairs are similar that must not be: a drawn query and a listed prompt, queries of two splits.

    `splits` has the split of each drawn query.
    """
    import polars as pl

    listed = [" ".join(tokens(prompt)) for prompts in lists.values() for prompt in prompts]
    everything = drawn.append_texts(pl.Series("words", listed, dtype=pl.String))
    index = SimilarityIndex(Ngrams(everything), threshold)
    index.add(range(len(everything)))
    pairs = {"benchmark": 0, "splits": 0}
    for row, split in enumerate(splits):
        for other, _ in index.find_similar(row):
            if other >= len(splits):
                pairs["benchmark"] += 1
            elif other < row and splits[other] != split:
                pairs["splits"] += 1
    return pairs
