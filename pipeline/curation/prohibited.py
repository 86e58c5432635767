"""Finds what ends a query's way whatever it is called: minors in sexual terms, also in disguise.

Ours. Single words judge, so it errs to the safe side; what it finds is kept as a hash alone.
"""

from collections.abc import Iterator

from pipeline.curation.unmask import LEET, LETTERS, ODD_HINT, ONE_IS_L, PEOPLE, REPEATED, masked, readings, spelled_out
from pipeline.curation.unsafe_terms import AGE_HINT, kinds, patterns, single_words

KINDS = ("prohibited", "sexual", "minor")
BETWEEN = r"[^\p{L}\p{M}\p{N}]+"


def prohibited(text: str) -> bool:
    """Return whether a cleaned text, its flags kept, speaks of minors in sexual terms."""
    found: set[str] = set()
    for reading in readings(text):
        found.update(kinds(reading), _glued(reading))
    for run in spelled_out(text):
        found.update(kind for term, kind in single_words().items() if term == run or (len(term) > 3 and term in run))
    for pattern in masked(text):
        found.update(kind for term, kind in single_words().items() if pattern.fullmatch(term))
    return "prohibited" in found or {"minor", "sexual"} <= found


def _glued(words: tuple[str, ...]) -> Iterator[str]:
    """Yield the kinds of two terms written as one word ("nakedchild")."""
    single = single_words()
    longest = 2 * max(map(len, single))
    for word in words:
        for at in range(3, len(word) - 2 if len(word) <= longest else 0):
            first = single.get(word[:at])
            if first and (last := single.get(word[at:])):
                yield from (first, last)


def may_be_prohibited(texts):
    """Return a mask of the cleaned texts (polars, flags kept) to ask `prohibited` about: all it finds, and few more."""
    spoken = texts.str.to_lowercase().str.replace_all(BETWEEN, " ")
    found = {kind: spoken.str.contains_any(_inside(kind)) for kind in KINDS}
    found["minor"] |= spoken.str.contains(AGE_HINT)
    rows = texts.str.contains(ODD_HINT).arg_true()
    odd = _disguised(texts.gather(rows))
    found = {kind: said.scatter(rows, said.gather(rows) | odd[kind]) for kind, said in found.items()}
    return (found["prohibited"] | (found["sexual"] & found["minor"])).fill_null(False)


def _disguised(texts) -> dict:
    """Return which kinds odd texts may say once they are read as one run of letters; an unclear one says all."""
    texts = texts.str.to_lowercase()
    foreign = texts.str.contains(r"[^\x00-\x7F]").arg_true()
    bare = texts.gather(foreign).str.replace_many(list(PEOPLE), list(PEOPLE.values())).str.normalize("NFKD")
    bare = bare.str.to_lowercase().str.replace_all(r"\p{M}+", "").str.replace_many(*_pairs(LETTERS))
    texts = texts.scatter(foreign, bare)
    unclear = texts.str.contains(rf"\p{{L}}[*#%_]|{REPEATED}")
    found = {kind: said | unclear for kind, said in _run_together(texts).items()}
    found["minor"] |= texts.str.replace_all(BETWEEN, " ").str.contains(AGE_HINT)
    signs = texts.str.contains(r"[0-9@$€!¡|+]").arg_true()
    for table in (LEET, ONE_IS_L):
        more = _run_together(texts.gather(signs).str.replace_many(*_pairs(table)))
        found = {kind: said.scatter(signs, said.gather(signs) | more[kind]) for kind, said in found.items()}
    return found


def _run_together(texts) -> dict:
    letters = texts.str.replace_all(r"\P{L}+", "")
    return {kind: letters.str.contains_any([term.replace(" ", "") for term in patterns(kind)]) for kind in KINDS}


def _inside(kind: str) -> list[str]:
    """Return the terms as they may stand inside words that are written together."""
    return [term.strip() for term in patterns(kind)]


def _pairs(table: dict[int, str]) -> tuple[list[str], list[str]]:
    return [chr(sign) for sign in table], list(table.values())
