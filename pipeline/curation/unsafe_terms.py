"""The words that make a query a safety candidate, and the ones that end its way; the list is unsafe_terms.txt."""

import functools
from pathlib import Path

import regex

# "a 9-year-old", "aged 12", "fifteen years old"
AGE = regex.compile(
    r"\b(?:[0-9]|1[0-7]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven)teen)"
    r"(?:\s?(?:years?|yrs?|yr)\s(?:olds?|of age)|\s?(?:yo|y\so)\b)|\b(?:aged?)\s(?:[0-9]|1[0-7])\b"
)


@functools.cache
def _terms() -> dict[tuple[str, ...], str]:
    """Return the terms as word tuples with their kind."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return {tuple(term.split()): kind for kind, term in pairs}


def kinds(words: tuple[str, ...]) -> dict[str, str]:
    """Return the kinds of terms found in a token list, each with the first term that showed it."""
    terms, found = _terms(), {}
    for at in range(len(words)):
        for length in (1, 2):
            term = words[at : at + length]
            if kind := terms.get(term):
                found.setdefault(kind, " ".join(term))
    if "minor" not in found and (age := AGE.search(" ".join(words))):
        found["minor"] = age.group()
    return found


def prohibited(words: tuple[str, ...]) -> bool:
    """Return whether a token list speaks of minors in sexual terms; single words judge, so it errs to the safe side."""
    found = kinds(words)
    return "prohibited" in found or ("minor" in found and "sexual" in found)


def candidate(words: tuple[str, ...]) -> str | None:
    """Return the first term that makes a token list a safety candidate, or None."""
    return next((term for kind, term in kinds(words).items() if kind != "minor"), None)
