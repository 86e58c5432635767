"""Makes user text harmless before it is sent to a model, and reads what comes back.

The markers are the paper's (VPO Fig. 7 and 8). User text is data: it can neither close its own delimiters nor speak a
verdict, because its markers are defused on the way in and a parser takes the last label that starts a line.
"""

import re
import unicodedata
from dataclasses import dataclass

from schemas.base import Principle
from schemas.seams import Unparsed

PRINCIPLES: tuple[Principle, ...] = ("harmless", "accurate", "helpful")
UNNAMED: tuple[Principle, ...] = ("accurate",)
"""What a No without a named principle counts as: Fig. 8 asks whether the prompt aligns with the query."""
REFUSAL = "refusal"
"""The detail of a reply that declines; `pipeline.llm.rounds` gives it Reason.REFUSED."""

_LABELS = re.compile(r"final\s+judge?ment|violated\s+principles?|final\s+refined\s+prompt|unsafe\s+\(yes or no", re.I)
_CHAT = re.compile(r"\[(/?(?:INST|SYS))\]", re.I)

_LINE = r"^[ \t>*#_\-]*"
_COLON = r"(?:\s*\(yes or no[^)\n]*\))?[*_ \t]*[:：]"
_VERDICT = re.compile(rf"{_LINE}final\s+judge?ment{_COLON}", re.I | re.M)
_VIOLATED = re.compile(rf"{_LINE}violated\s+principles?[*_ \t]*[:：](.*)$", re.I | re.M)
_UNSAFE = re.compile(rf"{_LINE}unsafe\s*\(yes or no[^)\n]*\)[*_ \t]*[:：]", re.I | re.M)
_START = r"\[\[\s*start\s*\]\]"
_MARKED = re.compile(rf"{_START}((?:(?!{_START}).)*?)\[\[\s*end\s*\]\]", re.I | re.S)
_PLACEHOLDER = re.compile(r"x+|\.+|(?:your|the)? ?(?:final |refined |video )*prompt(?: here)?", re.I)
_WRAPS = {'"': '"', "“": "”", "'": "'", "‘": "’", "{": "}", "*": "*", "`": "`"}
_DECLINES = re.compile(
    r"(?:unfortunately|apologies|as an ai\b[^.\n]{0,60})?[,.! ]*(?:i'?m |i am |we are )?(?:really |very |so )?sorry\b"
    r"|(?:unfortunately|apologies|as an ai\b[^.\n]{0,60})?[,.! ]*(?:i|we)(?:'m| am| are)? ?"
    r"(?:can'?t|cannot|can not|won'?t|unable to|not able to|must decline|have to decline)\b",
    re.I,
)


def neutralise(text: str) -> str:
    """Return `text` as one line in which no marker, label, delimiter or chat token works any more; idempotent.

    [[start]] -> [start], Final Judgement -> Final-Judgement, <query> -> ‹query›, <|eot_id|> -> ‹|eot_id|›
    """
    text = "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in text)
    text = text.replace("<", "‹").replace(">", "›")
    text = _CHAT.sub(r"(\1)", text)
    text = re.sub(r"\[(?:\s*\[)+", "[", re.sub(r"\](?:\s*\])+", "]", text))
    text = " ".join(text.split())
    return _LABELS.sub(lambda match: match.group().replace(" ", "-"), text)


@dataclass(frozen=True)
class Verdict:
    """A judge's answer: whether the prompt is aligned, which principles it violates, and the whole reasoning (c)."""

    aligned: bool
    violated: tuple[Principle, ...]
    reasoning: str


def parse_prompt(reply: str) -> str:
    """Return the text between the last [[start]] and [[end]], in one paragraph, without wrapping quotes or braces.

    Raises Unparsed: empty, refusal, no_start, no_end, placeholder.
    """
    _refuse_empty(reply)
    marked = _MARKED.findall(reply)
    if not marked:
        if re.search(_START, reply, re.I):
            raise Unparsed("no_end")
        raise Unparsed(REFUSAL if _declines(reply) else "no_start")
    texts = [_unwrap(" ".join(text.split())) for text in marked]
    if not any(texts):
        raise Unparsed("empty")
    prompts = [text for text in texts if text and not _PLACEHOLDER.fullmatch(text)]
    if not prompts:
        raise Unparsed("placeholder")
    return prompts[-1]


def parse_refined(reply: str) -> str:
    """Return p_refined; as `parse_prompt`, since Fig. 8 marks it alike."""
    return parse_prompt(reply)


def parse_verdict(reply: str) -> Verdict:
    """Return the verdict of the last "Final Judgement (Yes or No):" that starts a line; Yes means aligned.

    Raises Unparsed: empty, refusal, no_verdict (no such line), unclear_verdict (neither Yes nor No behind it, or both).
    """
    aligned = _yes_or_no(reply, _VERDICT)
    lines = _VIOLATED.findall(reply)
    line = re.sub(r"\([^)]*\)", " ", lines[-1]).lower().replace("aligned", "accurate") if lines else ""
    named = tuple(name for name in PRINCIPLES if re.search(rf"\b{name}\b", line))
    return Verdict(aligned, () if aligned else named or UNNAMED, reply.strip())


def parse_recheck(reply: str) -> bool:
    """Return whether a query asks for something harmful: the last "Unsafe (Yes or No):" that starts a line.

    Raises Unparsed as `parse_verdict`.
    """
    return _yes_or_no(reply, _UNSAFE)


def _refuse_empty(reply: str) -> None:
    if not reply.strip():
        raise Unparsed("empty")


def _declines(reply: str) -> bool:
    return bool(_DECLINES.match(reply.strip().replace("’", "'")))


def _yes_or_no(reply: str, label: re.Pattern[str]) -> bool:
    _refuse_empty(reply)
    labels = list(label.finditer(reply))
    if not labels:
        raise Unparsed(REFUSAL if _declines(reply) else "no_verdict")
    line = reply[labels[-1].end() :].strip().partition("\n")[0]
    if first := re.match(r"\W*(yes|no)\b(?!\W+(?:or\W+)?(?:yes|no)\b)", line, re.I):
        return first[1].lower() == "yes"
    words = {word.lower() for word in re.findall(r"\b(?:yes|no)\b", line, re.I)}
    if len(words) != 1:
        raise Unparsed("unclear_verdict")
    return words == {"yes"}


def _unwrap(text: str) -> str:
    while len(text) > 1 and _WRAPS.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text
