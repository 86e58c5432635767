"""The words that make a query a safety candidate, and the ones that end its way; the list is unsafe_terms.txt."""

import functools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import regex

from pipeline.text.clean import words

# "a 9-year-old", "aged 12", "fifteen years old", "12yo", "under 18", "a little blonde girl", "9 ans", "9岁"
AGE = regex.compile(
    r"\b(?:[0-9]|1[0-7]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven)teen)"
    r"(?:\s?(?:years?|yrs?|yr|y)\s(?:olds?|of age)|\s?(?:yo|y\so|y\s?old|yr)\b)"
    r"|\b(?:aged?)\s(?:of\s)?(?:[0-9]|1[0-7])\b"
    r"|\b(?:under|below|not yet|younger than|almost)\s(?:1[0-8]|eighteen|sixteen)\b"
    r"(?!\s(?:seconds?|minutes?|feet|meters?))"
    r"|\b(?:young|little|small|tiny)\s(?:\w+\s){0,3}girls?\b|\b(?:[1-9]|1[0-2])(?:st|nd|rd|th)\sgraders?\b"
    r"|\b(?:[1-9]|1[0-7])\s?(?:años|anos|ans|anni|jahren?|jährige\w*|jaar|лет|летн\w+|год\w*|tahun|yaş\w*|tuổi|세|살)\b"
    r"|(?<!\d)(?:[1-9]|1[0-7]|[一二三四五六七八九十]|十 [一二三四五六七])\s?[岁歲歳才]"
)


AGE_HINT = (
    r"(?:[0-9]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|teen)\s?"
    r"(?:y|años|anos|ans|anni|jahr|jähr|jaar|лет|год|tahun|yaş|tuổi|세|살)"
    r"|aged?\s(?:of\s)?[0-9]|(?:young|little|small|tiny)\s|(?:st|nd|rd|th)\sgrader|(?:under|below|yet|than|almost)\s(?:1|eighteen|sixteen)|[岁歲歳才]"
)
"""Every text of words that `AGE` finds an age in matches this; Rust's regex reads it too."""


@dataclass(frozen=True)
class Terms:
    """The list, by how a term is looked for: whole (by first word), as a beginning (by three letters), anywhere."""

    whole: dict[str, list[tuple[tuple[str, ...], str]]]
    beginnings: dict[str, list[tuple[str, str]]]
    anywhere: dict[str, str]


@functools.cache
def _terms() -> Terms:
    terms = Terms(defaultdict(list), defaultdict(list), {})
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            kind, term = line.split(": ", 1)
            spelled = words(term)
            if term.startswith("*"):
                terms.anywhere[" ".join(spelled)] = kind
            elif term.endswith("*"):
                terms.beginnings[spelled[0][:3]].append((spelled[0], kind))
            else:
                terms.whole[spelled[0]].append((spelled, kind))
    return terms


@functools.cache
def single_words() -> dict[str, str]:
    """Return the terms of one word that are looked for as they are, with their kind."""
    return {term[0]: kind for found in _terms().whole.values() for term, kind in found if len(term) == 1}


def kinds(words: tuple[str, ...]) -> dict[str, str]:
    """Return the kinds of terms found in a token list, each with the first term that showed it."""
    terms, found = _terms(), {}
    for at, word in enumerate(words):
        for term, kind in terms.whole.get(word, ()):
            if words[at : at + len(term)] == term:
                found.setdefault(kind, " ".join(term))
        for term, kind in terms.beginnings.get(word[:3], ()):
            if word.startswith(term):
                found.setdefault(kind, word)
    text = " ".join(words)
    for term, kind in terms.anywhere.items():
        if term in text:
            found.setdefault(kind, term)
    if "minor" not in found and (age := AGE.search(text)):
        found["minor"] = age.group()
    return found


def candidate(words: tuple[str, ...]) -> str | None:
    """Return the first term that makes a token list a safety candidate, or None."""
    return next((term for kind, term in kinds(words).items() if kind != "minor"), None)


def patterns(*wanted: str) -> list[str]:
    """Return the terms of these kinds, or of all but minor, as a text of words holds them: a space at a word's end."""
    terms = _terms()
    whole = [(f" {' '.join(term)} ", kind) for found in terms.whole.values() for term, kind in found]
    beginnings = [(f" {term}", kind) for found in terms.beginnings.values() for term, kind in found]
    listed = [*whole, *beginnings, *terms.anywhere.items()]
    return [term for term, kind in listed if (kind in wanted if wanted else kind != "minor")]


def may_be_candidate(said):
    """Return a mask of the rows, a polars column of words with one space between two, that hold a `candidate` term."""
    import polars as pl

    return pl.select((pl.lit(" ") + said + pl.lit(" ")).str.contains_any(patterns())).to_series()
