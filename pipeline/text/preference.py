"""Whether a pair prefers anything: sides that are one text, or scores that contradict the labels, teach nothing."""

import unicodedata
from collections.abc import Iterable, Iterator

from schemas.base import Dropped, Pair
from schemas.reasons import Reason


def fold(text: str) -> str:
    """Return the text in NFC with single spaces: two texts that fold to one look alike to a reader."""
    return " ".join(unicodedata.normalize("NFC", text).split())


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
    """Yield the pairs, those without a preference as no_preference, one that comes again as duplicate."""
    kept: set[tuple[str, str, str, str]] = set()
    for pair in pairs:
        key = (pair.query_id, fold(pair.chosen), fold(pair.rejected), pair.source)
        if why := explain_no_preference(pair):
            yield Dropped(input_id=pair.pair_id, reason=Reason.NO_PREFERENCE, detail=why)
        elif key in kept:
            yield Dropped(input_id=pair.pair_id, reason=Reason.DUPLICATE, detail="the same pair stands before it")
        else:
            kept.add(key)
            yield pair
