"""The rule filters of VPO 3.2: "keywords, special characters, query length", without values; ours are params."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.curation.language import other_languages
from pipeline.curation.normalise import merged, normalised
from pipeline.curation.pii import may_hold_pii, pii
from pipeline.curation.prohibited import may_be_prohibited, prohibited
from pipeline.text.clean import LINK, tokens
from schemas.params import QueriesParams
from schemas.reasons import Reason

NOT_KEPT = (Reason.PROHIBITED, Reason.PII)
RAW_PER_CHARACTER = 16  # raw characters a cleaned one may have cost: HTML entities; a longer text is not even cleaned


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over the columns of a frame, as polars expressions: it holds where `broken` is true.

    `detail` is what a person needs to know beyond the reason, `score` the number that the rule looked at.
    """

    reason: Reason
    broken: object
    detail: object = ""
    score: object = None


def opened(raws, params: QueriesParams):
    """Return raw rows (pipeline.curation.read) with reason, detail and score of those that cannot be cleaned.

    Their text goes: it can be of any size.
    """
    import polars as pl

    frame = judged(raws, readable(params)).drop("fault")
    return frame.with_columns(text=pl.when(pl.col("reason").is_null()).then("text"))


def admitted(opened, params: QueriesParams):
    """Return a frame beside opened rows: query and said (pipeline.curation.normalise), reason, detail and score.

    The reason is that of the first rule that a row breaks, and null for one that passes; a text that may not be kept
    is null here already.
    """
    import polars as pl

    frame = normalised(opened["text"].fill_null(""), params.keep_flags).hstack(opened.select(OUTCOME))
    frame = judged(frame.hstack(looked_at(frame, params)), rules(params))
    frame = _in_languages(frame, params.languages)
    kept = ~pl.col("reason").is_in([reason.value for reason in NOT_KEPT]).fill_null(False)
    return frame.select(*(pl.when(kept).then(name).alias(name) for name in ("query", "said")), *OUTCOME)


def _in_languages(frame, languages: Sequence[str] | None):
    """Judge what has passed so far by its language: the slowest rule comes last."""
    import polars as pl

    if languages is None:
        return frame
    passed = frame["reason"].is_null()
    codes = pl.Series(list(other_languages(frame["query"].filter(passed), languages)), dtype=pl.String)
    spoken = merged(~passed, pl.repeat(None, len(frame), dtype=pl.String, eager=True), codes)
    rule = Rule(Reason.LANGUAGE, pl.col("language").is_not_null(), pl.col("language"))
    return judged(frame.with_columns(language=spoken), [rule]).drop("language")


def judged(frame, rules: list[Rule]):
    """Return the frame with the first of `rules` that each row breaks; a row that has a reason keeps it."""
    import polars as pl

    found = [pl.when(rule.broken).then(_outcome(rule.reason.value, rule.detail, rule.score)) for rule in rules]
    if "reason" in frame.columns:
        found.insert(0, pl.when(pl.col("reason").is_not_null()).then(_outcome(*map(pl.col, OUTCOME))))
    outcome = frame.lazy().select(outcome=pl.coalesce(*found, _outcome(None, "", None))).collect().unnest("outcome")
    return frame.drop(OUTCOME, strict=False).hstack(outcome)


OUTCOME = ("reason", "detail", "score")


def _outcome(*values):
    import polars as pl

    columns = [value if isinstance(value, pl.Expr) else pl.lit(value) for value in values]
    kinds = (pl.String, pl.String, pl.Float64)
    return pl.struct(column.cast(kind).alias(name) for name, column, kind in zip(OUTCOME, columns, kinds, strict=True))


def readable(params: QueriesParams) -> list[Rule]:
    """Return the rules that are asked before a text is cleaned."""
    import polars as pl

    characters = pl.col("text").str.len_chars()
    return [
        Rule(Reason.UNREADABLE, pl.col("fault").is_not_null(), pl.col("fault")),
        Rule(
            Reason.TOO_LONG, characters > RAW_PER_CHARACTER * params.max_characters, "characters before cleaning",
            characters,
        ),
    ]  # fmt: skip


def looked_at(frame, params: QueriesParams):
    """Return the columns that need Python's `regex`, on rows that a cheap pattern sieves: link, pii and never."""
    import polars as pl

    query, whole, wanted = frame["query"], frame["whole"], params.pii
    return pl.DataFrame(
        {
            "link": each(query, query.str.contains("(?i)://|www"), _link, pl.String),
            # what a flag hides counts here: the raw text stays in the row
            "pii": each(whole, may_hold_pii(whole), lambda text: pii(text, wanted), pl.String),
            "never": each(whole, may_be_prohibited(whole), prohibited, pl.Boolean),
        }
    )


def each(texts, sieve, function: Callable, kind):
    """Return function(text) where `sieve` is true, null elsewhere."""
    import polars as pl

    found = pl.Series([function(text) for text in texts.filter(sieve)], dtype=kind)
    return merged(~sieve, pl.repeat(None, len(texts), dtype=kind, eager=True), found)


def _link(text: str) -> str | None:
    found = LINK.search(text)
    return found and found.group()[:100]


def rules(params: QueriesParams) -> list[Rule]:
    """Return the rules over a cleaned query, in the order in which they are asked."""
    import polars as pl

    query, said = pl.col("query"), pl.col("said")
    characters, n_words = query.str.len_chars(), words_in(said)
    symbols = pl.col("symbols") / characters
    return [
        # the rules whose rows keep no text come first: a row that leaves for another reason keeps its own
        Rule(Reason.PROHIBITED, pl.col("never")),
        Rule(Reason.PII, pl.col("pii").is_not_null(), pl.col("pii")),
        Rule(Reason.EMPTY, query == ""),
        Rule(Reason.URL, pl.col("link").is_not_null() & params.drop_urls, pl.col("link")),
        Rule(Reason.CHARACTERS, symbols > params.max_symbol_share, "share of symbols", symbols),
        Rule(Reason.TOO_SHORT, n_words < params.min_words, "words", n_words),
        Rule(Reason.TOO_LONG, n_words > params.max_words, "words", n_words),
        Rule(Reason.TOO_LONG, characters > params.max_characters, "characters", characters),
        *(Rule(Reason.KEYWORD, _says(keyword), keyword) for keyword in params.blocked_keywords),
    ]


def words_in(said):
    """Return how many words there are in an expression's texts, which have one space between two."""
    return said.str.count_matches(" ", literal=True) + (said != "")


def _says(keyword: str):
    """Compare word by word: `ass` is not in `grass`. A keyword without words is looked for as it stands."""
    import polars as pl

    if wanted := " ".join(tokens(keyword)):
        return pl.format(" {} ", "said").str.contains(f" {wanted} ", literal=True)
    return pl.col("query").str.to_lowercase().str.contains(keyword.lower(), literal=True)
