"""Rules, exact duplicates, similar rows and self-BLEU for raw rows, or for those behind a prefix that is done."""

from dataclasses import dataclass

import numpy as np

from pipeline.curation.appended import appended
from pipeline.curation.diverse import Witnesses, diverse, roles
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.rules import OUTCOME, admitted, words_in
from pipeline.curation.sample import Strata, facets, strata
from pipeline.curation.self_bleu import best_matches, self_bleu
from pipeline.curation.split import query_heads
from pipeline.curation.tokens import Tokens, tokens_of
from pipeline.curation.unsafe_terms import may_be_candidate
from schemas.params import QueriesParams

SLICE = 1 << 16


@dataclass(frozen=True)
class Curated:
    """What the steps found in `n_rows` raw rows.

    `ruled` has a line for each row that a rule refuses: row, reason, detail, score, and the words of its text, null
    where it has none or none that may be kept. All else has one for each row that passed: `told` what its text alone
    says (its query's id as a number, whether a term makes it a safety candidate, the codes of its strata).
    first[r] is the first row that equals r. matches[0] are the best n-gram matches of a row among all that passed,
    matches[1] among the kept (4, rows).
    """

    n_rows: int
    ruled: object
    told: object
    tokens: Tokens
    first: np.ndarray
    found: Witnesses
    matches: tuple[np.ndarray, np.ndarray]

    @property
    def passed(self) -> np.ndarray:
        """The raw rows that passed the rules."""
        passes = np.ones(self.n_rows, bool)
        passes[self.ruled["row"].to_numpy()] = False
        return np.flatnonzero(passes)

    @property
    def strata(self) -> Strata:
        """The strata of what passed the rules."""
        return Strata(facets(), {facet: self.told[facet].to_numpy() for facet in facets()})

    @property
    def self_bleu(self) -> dict[str, float | None]:
        """Corpus self-BLEU of what passed the rules, and of what is kept of it."""
        copies = np.bincount(self.first, minlength=len(self.tokens))
        return {
            name: self_bleu(matches, self.tokens.lengths, counts)
            for name, matches, counts in zip(
                ("before", "after"), self.matches, (copies, self.found.kept.astype(np.int64)), strict=True
            )
        }


def curated(opened, params: QueriesParams, before: Curated | None = None) -> Curated:
    """Return what becomes of opened rows (pipeline.curation.rules), behind those of `before` if there are any.

    The rule is prefix-stable: what came out for the first rows stays as it is.
    """
    import polars as pl

    done = before.n_rows if before else 0
    # in slices: a text passes through several columns on its way
    slices = [_judged(opened[at : at + SLICE], done + at, params) for at in range(0, max(len(opened), 1), SLICE)]
    ruled, told, said = map(pl.concat, zip(*slices, strict=True))
    del slices
    if before is None:
        tokens = tokens_of(said)
        first = tokens.first_equal()
        grams = Ngrams(tokens, roles(first))
        found = diverse(tokens, params.max_similarity, grams=grams)
        matches = tuple(best_matches(grams, here) for here in (first == np.arange(len(first)), found.kept))
        told = told.with_columns(**strata(tokens).codes)
        return Curated(len(opened), ruled, told, tokens, first, found, matches)
    others = before.tokens.others(said)
    tokens = before.tokens.and_then(others)
    first = tokens.first_equal(before.first)
    found, matches = appended(before.tokens, first, before.found, before.matches, others, params.max_similarity)
    told = pl.concat([before.told, told.with_columns(**strata(others).codes)])
    return Curated(done + len(opened), pl.concat([before.ruled, ruled]), told, tokens, first, found, matches)


def _judged(opened, begin: int, params: QueriesParams) -> tuple:
    """Return `ruled`, `told` without strata, and the words of those that passed, for rows that begin at `begin`."""
    import polars as pl

    frame = admitted(opened, params)
    words = pl.when(opened["text"].is_not_null()).then(words_in(pl.col("said")).cast(pl.Int32))
    place = pl.int_range(pl.len(), dtype=pl.Int64) + begin
    passes = pl.col("reason").is_null()
    ruled = frame.select(*OUTCOME, row=place, words=words).filter(~passes).select("row", *OUTCOME, "words")
    passed = frame.filter(passes)
    told = pl.DataFrame({"query_id": query_heads(passed["query"]), "candidate": may_be_candidate(passed["said"])})
    return ruled, told, passed["said"]
