"""Whether a pair prefers anything: sides that are one text, scores or another pair that contradict it teach nothing."""

import unicodedata
from collections.abc import Iterable, Iterator

from pipeline.text.clean import INVISIBLE, SPACE
from schemas.base import Dropped, Pair
from schemas.reasons import Reason


def fold(text: str) -> str:
    """Return the text in NFC, in single spaces, without signs that nobody sees: what folds to one looks alike."""
    return SPACE.sub(" ", unicodedata.normalize("NFC", INVISIBLE.sub("", SPACE.sub(" ", text)))).strip()


def explain_no_preference(pair: Pair) -> str | None:
    """Return why the pair is no preference, None where it is one."""
    if fold(pair.chosen) == fold(pair.rejected):
        return "chosen and rejected are one text"
    if pair.score_chosen is None or pair.score_rejected is None:
        return None
    if pair.score_chosen > pair.score_rejected:
        return None
    relation = "below" if pair.score_chosen < pair.score_rejected else "equal to"
    return f"score_chosen {pair.score_chosen:g} is {relation} score_rejected {pair.score_rejected:g}"


def drop_undecided(pairs: Iterable[Pair]) -> Iterator[Pair | Dropped]:
    """Yield the pairs, those without a preference as no_preference, one that comes again as duplicate.

    Two pairs of one source that prefer each the other's rejected side leave both.
    """
    keyed = [((pair.query_id, pair.source), fold(pair.chosen), fold(pair.rejected), pair) for pair in pairs]
    preferred = {(of, chosen, rejected) for of, chosen, rejected, pair in keyed if not explain_no_preference(pair)}
    kept: set[tuple[tuple[str, str], str, str]] = set()
    for of, chosen, rejected, pair in keyed:
        if why := explain_no_preference(pair):
            yield Dropped(input_id=pair.pair_id, reason=Reason.NO_PREFERENCE, detail=why)
        elif (of, rejected, chosen) in preferred:
            detail = "another pair of the same texts prefers the other side"
            yield Dropped(input_id=pair.pair_id, reason=Reason.NO_PREFERENCE, detail=detail)
        elif (of, chosen, rejected) in kept:
            yield Dropped(input_id=pair.pair_id, reason=Reason.DUPLICATE, detail="the same pair stands before it")
        else:
            kept.add((of, chosen, rejected))
            yield pair
