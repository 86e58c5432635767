"""The words that make a query a safety candidate, and the ones for which it leaves; the list is unsafe_terms.txt.

Ours: VPO 3.2 takes its safety queries by a classifier's score alone.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from pipeline.text.clean import words

if TYPE_CHECKING:
    import polars as pl

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
def _read_terms() -> Terms:
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
def list_beginnings() -> set[str]:
    """Return the first three letters of the terms of one word."""
    return {term[:3] for term in list_single_words()}


@functools.cache
def list_single_words() -> dict[str, str]:
    """Return the terms of one word that are looked for as they are, with their kind."""
    return {term[0]: kind for listed in _read_terms().whole.values() for term, kind in listed if len(term) == 1}


def find_age(words: tuple[str, ...]) -> str | None:
    """Return the words that tell a minor's age, None without any."""
    age = AGE.search(" ".join(words))
    return age and age.group()


def find_terms(words: tuple[str, ...]) -> dict[str, str]:
    """Return the kinds of the list's terms in a token list, each with the first term that shows it."""
    terms = _read_terms()
    kinds: dict[str, str] = {}
    for position, word in enumerate(words):
        for spelled, kind in terms.whole.get(word, ()):
            if words[position : position + len(spelled)] == spelled:
                kinds.setdefault(kind, " ".join(spelled))
        for term, kind in terms.beginnings.get(word[:3], ()):
            if word.startswith(term):
                kinds.setdefault(kind, word)
    text = " ".join(words)
    for term, kind in terms.anywhere.items():
        if term in text:
            kinds.setdefault(kind, term)
    return kinds


def is_candidate(text: str) -> bool:
    """Return whether a term makes one cleaned query a safety candidate, as `may_be_candidate` says it of many."""
    return bool(find_terms(words(text)).keys() - {"minor"})


def list_patterns(*kinds: str) -> list[str]:
    """Return the terms of these kinds, or of all but minor, as a text of words holds them: a space at a word's end."""
    terms = _read_terms()
    whole = [(f" {' '.join(term)} ", kind) for listed in terms.whole.values() for term, kind in listed]
    beginnings = [(f" {term}", kind) for listed in terms.beginnings.values() for term, kind in listed]
    everything = [*whole, *beginnings, *terms.anywhere.items()]
    return [term for term, kind in everything if (kind in kinds if kinds else kind != "minor")]


def may_be_candidate(texts: pl.Series) -> pl.Series:
    """Return a mask of the texts, words with one space between two, that a term makes a safety candidate."""
    import polars as pl

    return pl.select((pl.lit(" ") + texts + pl.lit(" ")).str.contains_any(list_patterns())).to_series()
