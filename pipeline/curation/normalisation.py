r"""Cleans many texts at once: where a text's characters leave nothing to clean, by column; else by text.clean.

text.clean, on Python's `regex`, is the one definition; the patterns here stand only where they cannot differ from it,
and a test compares. COMMON are the letters of English and Western Europe, blanks and common signs, but & and @.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import regex

from pipeline.text.clean import LINK, MENTION, clean, words

if TYPE_CHECKING:
    import polars as pl

LETTERS = "0-9A-Za-zÀ-ÖØ-öø-ÿ"
COMMON = rf"[{LETTERS}\t\n\r !\"#$%'()*+,\-./:;<=>?\[\\\]^_`{{|}}~‘’“”…]"
# nothing to clean: the first is a letter or digit, and there is no "prompt:" nor a dash that could open a flag
TIDY = rf"\A[\t\n\r ]*[{LETTERS}]{COMMON}*\z"
UNTIDY = rf"(?:\A|[^{LETTERS}])-|-[aA][rR]|[pP][rR][oO]?[mM][pP][tT][\t\n\r ]*:"
# a link or a mention, perhaps
LINKED = r"<#|://|[wW]{3}\."
DASHES = "-–—−"
SYMBOL = regex.compile(r"[^\p{L}\p{M}\p{N}\s]")


def normalise(texts: pl.Series, keep_flags: bool) -> pl.DataFrame:
    """Return a frame beside a column of texts, in its order, with the columns

    query    the cleaned text
    whole    the cleaned text with its flags
    words    the query's tokens with one space between two: texts are compared by them
    symbols  how many characters of the query are neither letter, mark, digit nor blank
    """
    import polars as pl

    text = texts.alias("text")
    tidy = text.str.contains(TIDY) & ~text.str.contains(UNTIDY)
    by_column = text.str.replace_all(r"[\t\n\r ]+", " ").str.strip_chars(" ")
    by_row = pl.DataFrame(
        [clean_twice(raw) for raw in text.filter(~tidy)],
        schema={"bare": pl.String, "whole": pl.String},
        orient="row",
    )
    bare, whole = (merge(tidy, by_column, by_row[name]) for name in ("bare", "whole"))
    query = whole if keep_flags else bare

    common = bare.str.contains(rf"\A{COMMON}*\z") & ~bare.str.contains(LINKED)
    by_column = bare.str.to_lowercase().str.replace_all("[^0-9a-zß-öø-ÿ]+", " ").str.strip_chars(" ")
    by_row = pl.Series([" ".join(split_unlinked(row)) for row in bare.filter(~common)], dtype=pl.String)
    words = merge(common, by_column, by_row)

    common = query.str.contains(rf"\A{COMMON}*\z")
    by_row = pl.Series([len(SYMBOL.findall(row)) for row in query.filter(~common)], dtype=pl.UInt32)
    symbols = merge(common, query.str.count_matches(rf"[^{LETTERS} ]"), by_row)
    return pl.DataFrame({"query": query, "whole": whole, "words": words, "symbols": symbols})


def merge(mask: pl.Series, whole: pl.Series, rest: pl.Series) -> pl.Series:
    """Return `whole` where `mask` is true; the other places take the values of `rest`, one after the other."""
    import polars as pl

    if not len(rest):
        return whole
    place = (~mask).cast(pl.Int64).cum_sum() - 1
    return pl.select(pl.when(mask).then(whole).otherwise(rest.gather(place.clip(0)))).to_series()


def clean_twice(text: str) -> tuple[str, str]:
    """Return a cleaned text without and with its flags."""
    whole = clean(text, keep_flags=True)
    # a flag begins with a dash
    return (clean(text) if any(dash in whole for dash in DASHES) else whole), whole


def split_unlinked(bare: str) -> tuple[str, ...]:
    """Return pipeline.text.clean.tokens of a text that is clean and bare of flags already."""
    return words(MENTION.sub(" ", LINK.sub(" ", bare)))
