"""Finds minors in sexual terms, also in disguise: such a query leaves whatever else it says.

Ours. Single words judge, so it errs to the safe side; a text that is prohibited is kept as a hash alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pipeline.curation.disguises import (
    LEET,
    LETTERS,
    ODD_HINT,
    ONE_IS_L,
    PEOPLE,
    REPEATED,
    find_spelled_out,
    list_mask_patterns,
    list_readings,
)
from pipeline.curation.unsafe_terms import (
    AGE_HINT,
    find_age,
    find_terms,
    list_beginnings,
    list_patterns,
    list_single_words,
)
from pipeline.text.clean import words as split_words

if TYPE_CHECKING:
    import polars as pl

KINDS = ("prohibited", "sexual", "minor")
AT_ONCE = 50_000
"""texts that are looked through together"""
BETWEEN = r"[^\p{L}\p{M}\p{N}]+"


def is_prohibited(text: str) -> bool:
    """Return whether a cleaned text, its flags kept, speaks of minors in sexual terms."""
    kinds: set[str] = set()
    readings = list(list_readings(text))
    for reading in readings:
        kinds.update(find_terms(reading), _find_glued(reading))
    for run in find_spelled_out(text):
        kinds.update(
            kind for term, kind in list_single_words().items() if term == run or (len(term) > 3 and term in run)
        )
    for pattern in list_mask_patterns(text):
        kinds.update(kind for term, kind in list_single_words().items() if pattern.fullmatch(term))
    if "prohibited" in kinds or "sexual" not in kinds:
        return "prohibited" in kinds
    # ages are looked for last: that costs the most, and few texts come so far
    return "minor" in kinds or any(map(find_age, readings))


def find_prohibited(texts: Iterable[str]) -> set[str]:
    """Return those of the cleaned texts, their flags kept, that `is_prohibited`; most are passed by the mask alone."""
    import polars as pl

    distinct = sorted(set(texts))
    prohibited: set[str] = set()
    for start in range(0, len(distinct), AT_ONCE):
        some = pl.Series(distinct[start : start + AT_ONCE], dtype=pl.String)
        prohibited.update(filter(is_prohibited, some.filter(may_be_prohibited(some))))
    return prohibited


def _find_glued(words: tuple[str, ...]) -> Iterator[str]:
    """Yield the kinds of two terms written as one word ("nakedchild")."""
    single, beginnings = list_single_words(), list_beginnings()
    longest = 2 * max(map(len, single))
    for word in words:
        if word[:3] not in beginnings:
            continue
        for cut in range(3, len(word) - 2 if len(word) <= longest else 0):
            first = single.get(word[:cut])
            if first and (last := single.get(word[cut:])):
                yield from (first, last)


def may_be_prohibited(texts: pl.Series) -> pl.Series:
    """Return a mask of the cleaned texts (flags kept) that `is_prohibited` must read: all that are, and few more."""
    words = texts.str.to_lowercase().str.replace_all(BETWEEN, " ")
    rows = texts.str.contains(ODD_HINT).arg_true()
    odd = _match_disguised(texts.gather(rows))

    def look_for(kind: str) -> pl.Series:
        mask = words.str.contains_any(_list_inner_terms(kind)).fill_null(False)
        return mask.scatter(rows, mask.gather(rows) | odd[kind])

    mask, sexual = look_for("prohibited"), look_for("sexual").arg_true()
    # a minor is looked for where it would matter alone
    some = words.gather(sexual)
    minor = some.str.contains_any(_list_inner_terms("minor")) | some.str.contains(AGE_HINT)
    disguised = texts.clear(len(texts)).is_not_null().scatter(rows, odd["minor"]).gather(sexual)
    return mask.scatter(sexual, mask.gather(sexual) | minor | disguised)


def _match_disguised(texts: pl.Series) -> dict[str, pl.Series]:
    """Return which kinds odd texts may hold once they are read as one run of letters; an unclear one may hold all."""
    texts = texts.str.to_lowercase()
    foreign = texts.str.contains(r"[^\x00-\x7F]").arg_true()
    bare = texts.gather(foreign).str.replace_many(list(PEOPLE), list(PEOPLE.values())).str.normalize("NFKD")
    bare = bare.str.to_lowercase().str.replace_all(r"\p{M}+", "").str.replace_many(*_split_table(LETTERS))
    texts = texts.scatter(foreign, bare)
    unclear = texts.str.contains(rf"\p{{L}}[*#%_]|{REPEATED}")
    masks = {kind: mask | unclear for kind, mask in _match_letters(texts).items()}
    masks["minor"] |= texts.str.replace_all(BETWEEN, " ").str.contains(AGE_HINT)
    signs = texts.str.contains(r"[0-9@$€!¡|+]").arg_true()
    for table in (LEET, ONE_IS_L):
        more = _match_letters(texts.gather(signs).str.replace_many(*_split_table(table)))
        masks = {kind: mask.scatter(signs, mask.gather(signs) | more[kind]) for kind, mask in masks.items()}
    return masks


def _match_letters(texts: pl.Series) -> dict[str, pl.Series]:
    letters = texts.str.replace_all(r"\P{L}+", "")
    return {kind: letters.str.contains_any([term.replace(" ", "") for term in list_patterns(kind)]) for kind in KINDS}


def _list_inner_terms(kind: str) -> list[str]:
    """Return the terms as they may stand inside words that are written together; those of unspaced scripts too."""
    terms = [term.strip() for term in list_patterns(kind)]
    joined = {term: "".join(term.split()) for term in terms if " " in term}
    return terms + [together for term, together in joined.items() if split_words(together) == tuple(term.split())]


def _split_table(table: dict[int, str]) -> tuple[list[str], list[str]]:
    return [chr(sign) for sign in table], list(table.values())
