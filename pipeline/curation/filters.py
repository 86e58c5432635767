"""Rules, exact duplicates, similar rows and self-BLEU for raw rows, or for those behind a prefix that is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.curation.arrays import Int32s, Int64s
from pipeline.curation.increment import extend_witnesses
from pipeline.curation.near_duplicates import Witnesses, assign_roles, find_near_duplicates
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.query_ids import hash_queries
from pipeline.curation.rules import OUTCOME, apply_rules, count_words
from pipeline.curation.sample import Strata, list_facets, stratify
from pipeline.curation.self_bleu import average_self_bleu, count_best_matches
from pipeline.curation.tokens import Tokens, tokenize
from pipeline.curation.unsafe_terms import may_be_candidate
from schemas.params import QueriesParams

if TYPE_CHECKING:
    import polars as pl

SLICE = 1 << 16
"""Rows that go through the rules at once. Ours: a text passes through several columns on its way."""


@dataclass(frozen=True)
class FilterResult:
    """The fate of `n_rows` raw rows.

    `refused` has a line for each row that a rule refuses: row, reason, detail, score, and the words of its text, null
    where it has none or none that may be kept. All else has one for each row that passed: `facts` that follow from its
    text alone (its query's id as a number, whether a term makes it a safety candidate, the codes of its strata).
    first[r] is the first row that equals r. matches[0] are the best n-gram matches of a row among all that passed,
    matches[1] among the kept (4, rows).
    """

    n_rows: int
    refused: pl.DataFrame
    facts: pl.DataFrame
    tokens: Tokens
    first: Int32s
    witnesses: Witnesses
    matches: tuple[Int32s, Int32s]

    @property
    def passed(self) -> Int64s:
        """The indices of the raw rows that passed the rules."""
        passes = np.ones(self.n_rows, bool)
        passes[self.refused["row"].to_numpy()] = False
        return np.flatnonzero(passes)

    @property
    def strata(self) -> Strata:
        """The strata of the rows that passed the rules."""
        return Strata(list_facets(), {facet: self.facts[facet].to_numpy() for facet in list_facets()})

    @property
    def self_bleu(self) -> dict[str, float | None]:
        """Corpus self-BLEU, 0..1, of the rows that passed the rules, and of those of them that are kept."""
        copies = np.bincount(self.first, minlength=len(self.tokens))
        return {
            name: average_self_bleu(matches, self.tokens.lengths, counts)
            for name, matches, counts in zip(
                ("before", "after"), self.matches, (copies, self.witnesses.kept.astype(np.int64)), strict=True
            )
        }


def filter_rows(readable: pl.DataFrame, params: QueriesParams, before: FilterResult | None = None) -> FilterResult:
    """Return the fate of rows that `rules.check_readable` gave, behind those of `before` if there are any.

    The rule is prefix-stable: the result for the first rows stays as it is.
    """
    import polars as pl

    done = before.n_rows if before else 0
    slices = [
        _judge_slice(readable[begin : begin + SLICE], done + begin, params)
        for begin in range(0, max(len(readable), 1), SLICE)
    ]
    refused, facts, texts = map(pl.concat, zip(*slices, strict=True))
    del slices
    if before is None:
        tokens = tokenize(texts)
        first = tokens.find_first_equal()
        grams = Ngrams(tokens, assign_roles(first))
        witnesses = find_near_duplicates(tokens, params.max_similarity, grams=grams)
        distinct = first == np.arange(len(first))
        matches = count_best_matches(grams, distinct), count_best_matches(grams, witnesses.kept)
        facts = facts.with_columns(**stratify(tokens).codes)
        return FilterResult(len(readable), refused, facts, tokens, first, witnesses, matches)
    new = before.tokens.number_texts(texts)
    tokens = before.tokens.append(new)
    first = tokens.find_first_equal(before.first)
    witnesses, matches = extend_witnesses(
        before.tokens, first, before.witnesses, before.matches, new, params.max_similarity
    )
    facts = pl.concat([before.facts, facts.with_columns(**stratify(new).codes)])
    refused = pl.concat([before.refused, refused])
    return FilterResult(done + len(readable), refused, facts, tokens, first, witnesses, matches)


def _judge_slice(
    readable: pl.DataFrame, begin: int, params: QueriesParams
) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Return `refused`, `facts` without strata, and the words of those that passed, for rows that begin at `begin`."""
    import polars as pl

    frame = apply_rules(readable, params)
    words = pl.when(readable["text"].is_not_null()).then(count_words(pl.col("words")).cast(pl.Int32))
    row = pl.int_range(pl.len(), dtype=pl.Int64) + begin
    passes = pl.col("reason").is_null()
    refused = frame.select(*OUTCOME, row=row, words=words).filter(~passes).select("row", *OUTCOME, "words")
    passed = frame.filter(passes)
    facts = pl.DataFrame({"query_id": hash_queries(passed["query"]), "candidate": may_be_candidate(passed["words"])})
    return refused, facts, passed["words"]
