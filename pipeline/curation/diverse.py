"""Keeps queries diverse: a row leaves when it equals or resembles a row kept before it (VPO 3.2; the rule is ours)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.curation.similar import SimilarIndex


@dataclass(frozen=True, slots=True)
class Witness:
    """The kept, earlier row that a row leaves for: its index, sim to it, and whether the words are the same."""

    row: int
    score: float
    same: bool


def diverse(rows: Sequence[tuple[str, ...]], max_similarity: float) -> Iterator[Witness | None]:
    """Yield for each token list, in order, None (kept) or the first kept row with sim >= `max_similarity`.

    Greedy in input order, so the kept rows of a prefix are a prefix of the kept rows; a row without tokens is kept
    once. Dropping by corpus self-BLEU instead would let one threshold mean different things at different sizes.
    """
    index = SimilarIndex(rows, max_similarity)
    first: dict[tuple[str, ...], Witness | int] = {}
    for row, words in enumerate(rows):
        if (seen := first.get(words)) is not None:
            yield seen if isinstance(seen, Witness) else Witness(seen, 1.0, True)
            continue
        found = next(index.similar(row), None)
        if found is None:
            first[words] = row
            index.add(row)
            yield None
        else:
            first[words] = Witness(*found, False)
            yield first[words]
