"""Finds people's data in a query: e-mail addresses, phone numbers and handles. Ours: the papers have no such rule.

A phone number needs a sign of being one (a country code, its usual groups, a word such as "call"), since prompts are
full of years, sizes and seeds.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from typing import TYPE_CHECKING

import regex

from pipeline.text.clean import JOINERS

if TYPE_CHECKING:
    import polars as pl

_NAME = r"[\p{L}\p{N}._%+-]"
_DOMAIN = r"(?:[\p{L}\p{N}-]+\.)+\p{L}{2,}"
_WRITTEN_AT = r"\s?[\[({<]\s?at\s?[\])}>]\s?"
_WRITTEN_DOT = r"(?:\s?[\[({<]\s?dot\s?[\])}>]\s?|\sdot\s|\.)"
EMAIL = regex.compile(
    rf"(?<!{_NAME}){_NAME}++@{_DOMAIN}"
    rf"|(?<!{_NAME}){_NAME}++{_WRITTEN_AT}[\p{{L}}\p{{N}}-]++(?:{_WRITTEN_DOT}[\p{{L}}\p{{N}}-]++){{1,3}}"
    rf"|(?<!{_NAME}){_NAME}++\sat\s[\p{{L}}\p{{N}}-]++\sdot\s(?:com|org|net|edu|gov|io|co|de|fr|es|it|ru|br|uk|in|me)\b",
    regex.IGNORECASE,
)

_GAP = r"[\s.\-/()]{0,3}"
PHONES = [
    # +44 20 7946 0958, 0044 (0)20 7946-0958
    regex.compile(rf"(?<![\p{{L}}\p{{N}}])(?:\+|00[\s.-]?(?=[1-9]))\d(?:{_GAP}\d){{7,14}}(?!\d)"),
    # (212) 555-0123, 212-555-0123, 1-800-555-0123
    regex.compile(r"(?<![\p{L}\p{N}.-])(?:1[\s.-])?(?:\(\d{3}\)\s?|\d{3}[\s.-])\d{3}[\s.-]\d{4}(?![\p{L}\p{N}.-]*\d)"),
    # 020 7946 0958, 0151 1234567, 06 12 34 56 78
    regex.compile(
        r"(?<![\p{L}\p{N}.,:-])(?:0[1-9](?:[\s.-]\d\d){4}|\(?0[1-9]\d{1,3}\)?[\s/-]\d{3,4}[\s-]?\d{3,5})(?![\p{L}\p{N}.:-]*\d)"
    ),
    # call me: 555 0123 4567
    regex.compile(
        rf"(?<!\p{{L}})(?:tel|telephone|phone|call|whats\s?app|mobile|cell|sms|fax|telegram|telefono|teléfono|telefone"
        rf"|телефон)\p{{L}}?(?:\s?(?:me|us|now|number|no|nr|at|on))*[\s.:#]*\+?\d(?:{_GAP}\d){{6,14}}(?!\d)",
        regex.IGNORECASE,
    ),
]
# A chat writes <@123456> for a person; one letter after an @ is a sign in a prompt and no name.
HANDLE = regex.compile(
    r"<@[!&]?\d{5,}>|(?<![\p{L}\p{N}._%+@-])@(?!\d+(?:\s?(?:fps|p|x|k|mm|hz)\b|\b))[\p{L}\p{N}_][\p{L}\p{N}_.]+"
)

DESCRIPTIONS = {"email": "an e-mail address", "phone": "a phone number", "handle": "a handle"}
HINT = r"@|(?i:[\[({<]\s?at\s?[\])}>])|(?i:\sdot\s)|\d(?:[^\p{L}\p{N}]{0,6}\d){6}"
"""Every NFKC text without joiners in which `find_pii` finds something matches this; Rust's regex reads it too."""

DASH = regex.compile(r"[\p{Pd}−]")


def may_hold_pii(texts: pl.Series) -> pl.Series:
    """Return a mask of the texts that `find_pii` must read: all in which it finds something, and few more."""
    foreign = texts.str.contains(r"[^\x00-\x7F]").arg_true()
    mask = texts.str.contains(HINT)
    plain = texts.gather(foreign).str.normalize("NFKC").str.replace_all(JOINERS.pattern, "")
    return mask.scatter(foreign, plain.str.contains(HINT)).fill_null(False)


def find_pii(text: str, rules: Collection[str]) -> str | None:
    """Return which of people's data a text holds, in words, or None; `rules` are some of email, phone and handle."""
    text = unicodedata.normalize("NFKC", text)
    joined = JOINERS.sub("", text)
    if "email" in rules and EMAIL.search(joined):
        return DESCRIPTIONS["email"]
    dashed = DASH.sub("-", joined)  # a number that was copied from a page has its typographer's dashes
    if "phone" in rules and any(pattern.search(dashed) for pattern in PHONES):
        return DESCRIPTIONS["phone"]
    if "handle" in rules and HANDLE.search(text):
        return DESCRIPTIONS["handle"]
    return None
