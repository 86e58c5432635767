"""The rule filters of VPO 3.2: "keywords, special characters, query length", without values; ours are params."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline.curation.language import detect_other_languages
from pipeline.curation.normalisation import merge, normalise
from pipeline.curation.pii import find_pii, may_hold_pii
from pipeline.curation.prohibited_content import is_prohibited, may_be_prohibited
from pipeline.text.clean import LINK, tokens
from schemas.params import QueriesParams
from schemas.reasons import Reason

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

NOT_KEPT = (Reason.PROHIBITED, Reason.PII)
"""Rows that leave for these leave no text behind."""
RAW_PER_CHARACTER = 16
"""Raw characters that a cleaned one may have cost: HTML entities (ours); a longer text is not even cleaned."""
OUTCOME = ("reason", "detail", "score")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over the columns of a frame, as polars expressions: a row breaks it where `broken` is true.

    `detail` is what a person needs to know beyond the reason, `score` the number that the rule compares.
    """

    reason: Reason
    broken: pl.Expr
    detail: pl.Expr | str = ""
    score: pl.Expr | None = None


def check_readable(raws: pl.DataFrame, params: QueriesParams) -> pl.DataFrame:
    """Return raw rows (pipeline.curation.sources) with reason, detail and score of those that cannot be cleaned.

    Their text goes: it can be of any size.
    """
    import polars as pl

    frame = judge(raws, list_reading_rules(params)).drop("fault")
    return frame.with_columns(text=pl.when(pl.col("reason").is_null()).then("text"))


def apply_rules(readable: pl.DataFrame, params: QueriesParams) -> pl.DataFrame:
    """Return a frame beside the rows of `check_readable`: query and words (normalisation), reason, detail and score.

    The reason is that of the first rule that a row breaks, and null for one that passes; a text that may not be kept
    is null here already. Raises DataError for a language that the detector does not know.
    """
    import polars as pl

    frame = normalise(readable["text"].fill_null(""), params.keep_flags).hstack(readable.select(OUTCOME))
    frame = judge(frame.hstack(search_texts(frame, params)), list_rules(params))
    frame = _judge_languages(frame, params.languages)
    kept = ~pl.col("reason").is_in([reason.value for reason in NOT_KEPT]).fill_null(False)
    return frame.select(*(pl.when(kept).then(name).alias(name) for name in ("query", "words")), *OUTCOME)


def _judge_languages(frame: pl.DataFrame, languages: Sequence[str] | None) -> pl.DataFrame:
    """Judge the rows that passed so far by their language: the slowest rule comes last."""
    import polars as pl

    if languages is None:
        return frame
    passed = frame["reason"].is_null()
    codes = pl.Series(list(detect_other_languages(frame["query"].filter(passed), languages)), dtype=pl.String)
    language = merge(~passed, pl.repeat(None, len(frame), dtype=pl.String, eager=True), codes)
    rule = Rule(Reason.LANGUAGE, pl.col("language").is_not_null(), pl.col("language"))
    return judge(frame.with_columns(language=language), [rule]).drop("language")


def judge(frame: pl.DataFrame, rules: list[Rule]) -> pl.DataFrame:
    """Return the frame with the first of `rules` that each row breaks; a row that has a reason keeps it."""
    import polars as pl

    outcomes = [pl.when(rule.broken).then(_pack_outcome(rule.reason.value, rule.detail, rule.score)) for rule in rules]
    if "reason" in frame.columns:
        outcomes.insert(0, pl.when(pl.col("reason").is_not_null()).then(_pack_outcome(*map(pl.col, OUTCOME))))
    first = pl.coalesce(*outcomes, _pack_outcome(None, "", None))
    outcome = frame.lazy().select(outcome=first).collect().unnest("outcome")
    return frame.drop(OUTCOME, strict=False).hstack(outcome)


def _pack_outcome(*values: pl.Expr | str | None) -> pl.Expr:
    import polars as pl

    columns = [value if isinstance(value, pl.Expr) else pl.lit(value) for value in values]
    kinds = (pl.String, pl.String, pl.Float64)
    return pl.struct(column.cast(kind).alias(name) for name, column, kind in zip(OUTCOME, columns, kinds, strict=True))


def list_reading_rules(params: QueriesParams) -> list[Rule]:
    """Return the rules that are applied before a text is cleaned."""
    import polars as pl

    characters = pl.col("text").str.len_chars()
    return [
        Rule(Reason.UNREADABLE, pl.col("fault").is_not_null(), pl.col("fault")),
        Rule(
            Reason.TOO_LONG, characters > RAW_PER_CHARACTER * params.max_characters, "characters before cleaning",
            characters,
        ),
    ]  # fmt: skip


def search_texts(frame: pl.DataFrame, params: QueriesParams) -> pl.DataFrame:
    """Return the columns that need Python's `regex`, on rows that a cheap pattern sieves: link, pii and prohibited."""
    import polars as pl

    query, whole, kinds = frame["query"], frame["whole"], params.pii
    return pl.DataFrame(
        {
            "link": map_where(query, query.str.contains("(?i)://|www"), _find_link, pl.String),
            # the text hidden in a flag counts here: the raw text stays in the row
            "pii": map_where(whole, may_hold_pii(whole), lambda text: find_pii(text, kinds), pl.String),
            "prohibited": map_where(whole, may_be_prohibited(whole), is_prohibited, pl.Boolean),
        }
    )


def map_where(
    texts: pl.Series, mask: pl.Series, function: Callable[[str], T | None], kind: type[pl.DataType]
) -> pl.Series:
    """Return function(text), of type `kind`, where `mask` is true, null elsewhere."""
    import polars as pl

    values = pl.Series([function(text) for text in texts.filter(mask)], dtype=kind)
    return merge(~mask, pl.repeat(None, len(texts), dtype=kind, eager=True), values)


def _find_link(text: str) -> str | None:
    match = LINK.search(text)
    return match and match.group()[:100]


def list_rules(params: QueriesParams) -> list[Rule]:
    """Return the rules over a cleaned query, in the order in which they are applied."""
    import polars as pl

    query, words = pl.col("query"), pl.col("words")
    characters, n_words = query.str.len_chars(), count_words(words)
    symbols = pl.col("symbols") / characters
    return [
        # the rules whose rows keep no text come first: a row that leaves for another reason keeps its own
        Rule(Reason.PROHIBITED, pl.col("prohibited")),
        Rule(Reason.PII, pl.col("pii").is_not_null(), pl.col("pii")),
        Rule(Reason.EMPTY, query == ""),
        Rule(Reason.URL, pl.col("link").is_not_null() & params.drop_urls, pl.col("link")),
        Rule(Reason.CHARACTERS, symbols > params.max_symbol_share, "share of symbols", symbols),
        Rule(Reason.TOO_SHORT, n_words < params.min_words, "words", n_words),
        Rule(Reason.TOO_LONG, n_words > params.max_words, "words", n_words),
        Rule(Reason.TOO_LONG, characters > params.max_characters, "characters", characters),
        *(Rule(Reason.KEYWORD, _match_keyword(keyword), keyword) for keyword in params.blocked_keywords),
    ]


def count_words(words: pl.Expr) -> pl.Expr:
    """Return how many words there are in an expression's texts, which have one space between two."""
    return words.str.count_matches(" ", literal=True) + (words != "")


def _match_keyword(keyword: str) -> pl.Expr:
    """Compare word by word: `ass` is not in `grass`. A keyword without words is looked for as it stands."""
    import polars as pl

    if words := " ".join(tokens(keyword)):
        return pl.format(" {} ", "words").str.contains(f" {words} ", literal=True)
    return pl.col("query").str.to_lowercase().str.contains(keyword.lower(), literal=True)
