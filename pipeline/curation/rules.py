"""The rule filters of VPO 3.2: "keywords, special characters, query length", without values; ours are params."""

from dataclasses import dataclass

import regex

from pipeline.clean import LINK, tokens
from schemas.params import Queries
from schemas.reasons import Reason

EMAIL = regex.compile(r"(?<![\p{L}\p{N}._%+-])[\p{L}\p{N}._%+-]++@(?:[\p{L}\p{N}-]+\.)+\p{L}{2,}")
SYMBOL = regex.compile(r"[^\p{L}\p{M}\p{N}\s]")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a query breaks a rule: the reason, what a person needs to know, and the number the rule looked at."""

    reason: Reason
    detail: str = ""
    score: float | None = None


def fault(query: str, words: tuple[str, ...], params: Queries) -> Fault | None:
    """Return the first rule that a cleaned query breaks, or None; words are counted as `pipeline.clean.tokens` does."""
    if not query:
        return Fault(Reason.EMPTY)
    if link := LINK.search(query):
        return Fault(Reason.URL, link.group()[:100])
    if EMAIL.search(query):
        return Fault(Reason.PII, "an e-mail address")
    symbols = len(SYMBOL.findall(query)) / len(query)
    if symbols > params.max_symbol_share:
        return Fault(Reason.CHARACTERS, "share of symbols", symbols)
    if len(words) < params.min_words:
        return Fault(Reason.TOO_SHORT, "words", len(words))
    if len(words) > params.max_words:
        return Fault(Reason.TOO_LONG, "words", len(words))
    if len(query) > params.max_characters:
        return Fault(Reason.TOO_LONG, "characters", len(query))
    for keyword in params.blocked_keywords:
        if _says(query, words, keyword):
            return Fault(Reason.KEYWORD, keyword)
    return None


def _says(query: str, words: tuple[str, ...], keyword: str) -> bool:
    """Compare word by word: `ass` is not in `grass`. A keyword without words is looked for as it stands."""
    wanted = tokens(keyword)
    if not wanted:
        return keyword.casefold() in query.casefold()
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))
