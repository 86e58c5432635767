"""Rules, exact duplicates, similar rows and self-BLEU for raw rows, or for those behind a prefix that is done."""

from dataclasses import dataclass

import numpy as np

from pipeline.curation.appended import appended
from pipeline.curation.diverse import Witnesses, diverse, roles
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.rules import admitted
from pipeline.curation.self_bleu import best_matches, self_bleu
from pipeline.curation.tokens import Tokens, tokens_of
from schemas.params import Queries

SLICE = 1 << 16


@dataclass(frozen=True)
class Curated:
    """What the steps found: `ruled` has a line for each raw row, all else one for each that passed the rules.

    first[r] is the first row that equals r. matches[0] are the best n-gram matches of a row among all that passed,
    matches[1] among the kept (4, rows).
    """

    ruled: object
    tokens: Tokens
    first: np.ndarray
    found: Witnesses
    matches: tuple[np.ndarray, np.ndarray]

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


def curated(opened, params: Queries, before: Curated | None = None) -> Curated:
    """Return what becomes of opened rows (pipeline.curation.rules), behind those of `before` if there are any.

    The rule is prefix-stable: what came out for the first rows stays as it is.
    """
    import polars as pl

    # in slices: a text passes through several columns on its way
    new = pl.concat([admitted(opened[at : at + SLICE], params) for at in range(0, max(len(opened), 1), SLICE)])
    said = new.filter(pl.col("reason").is_null())["said"].rename("words")
    if before is None:
        tokens = tokens_of(said)
        first = tokens.first_equal()
        grams = Ngrams(tokens, roles(first))
        found = diverse(tokens, params.max_similarity, grams=grams)
        matches = tuple(best_matches(grams, here) for here in (first == np.arange(len(first)), found.kept))
        return Curated(new, tokens, first, found, matches)
    others = before.tokens.others(said)
    tokens = before.tokens.and_then(others)
    first = tokens.first_equal(before.first)
    found, matches = appended(before.tokens, first, before.found, before.matches, others, params.max_similarity)
    return Curated(pl.concat([before.ruled, new]), tokens, first, found, matches)
