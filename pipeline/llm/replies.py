"""Makes user text harmless before it is sent to a model, and reads what comes back.

The markers are the paper's (VPO Fig. 7 and 8). User text is data: it can neither close its own delimiters nor speak a
verdict, because its markers are defused on the way in and a parser takes the last label that starts a line.
"""

import re
import unicodedata
from dataclasses import dataclass

from pipeline.llm.model_text import REFUSAL as REFUSAL
from pipeline.llm.model_text import clean_reply, find_talk, has_words, read_prompt
from schemas.base import Principle
from schemas.seams import Unparsed

PRINCIPLES: tuple[Principle, ...] = ("harmless", "accurate", "helpful")
UNNAMED: tuple[Principle, ...] = ("accurate",)
"""What a No without a named principle counts as: Fig. 8 asks whether the prompt aligns with the query."""

_LABELS = re.compile(r"final\s+judge?ment|violated\s+principles?|final\s+refined\s+prompt|unsafe\s+\(yes or no", re.I)
_CHAT = re.compile(r"\[(/?(?:INST|SYS))\]", re.I)

_LINE = r"^[ \t>*#_\-]*"
_COLON = r"(?:\s*\(yes or no[^)\n]*\))?[*_ \t]*[:：]"
_VERDICT = re.compile(rf"{_LINE}final\s+judge?ment{_COLON}", re.I | re.M)
_VIOLATED = re.compile(rf"{_LINE}violated\s+principles?[*_ \t]*[:：](.*)$", re.I | re.M)
_UNSAFE = re.compile(rf"{_LINE}unsafe\s*\(yes or no[^)\n]*\)[*_ \t]*[:：]", re.I | re.M)
_START = r"\[\[\s*start\s*\]\]"
_MARKED = re.compile(rf"{_START}((?:(?!{_START}).)*?)\[\[\s*end\s*\]\]", re.I | re.S)


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
    """Return p: what stands between the last [[start]] and [[end]], cleaned as all that models write.

    Raises Unparsed: empty, refusal, chatter, no_start, no_end, placeholder, garbled.
    """
    reply = _read_words(reply)
    marked = _MARKED.findall(reply)
    if not marked:
        if re.search(_START, reply, re.I):
            raise Unparsed("no_end")
        raise Unparsed(find_talk(reply) or "no_start")
    faults = []
    for text in reversed(marked):
        try:
            return read_prompt(text)
        except Unparsed as fault:
            faults.append(fault)
    # a placeholder that is only quoted says less than what else is wrong
    raise next((fault for fault in faults if fault.detail not in ("empty", "placeholder")), max(faults, key=_weight))


def _weight(fault: Unparsed) -> bool:
    return fault.detail == "placeholder"


def parse_policy_answer(reply: str) -> str:
    """Return p of a policy, which writes no markers; where it wrote both, what stands between them.

    Raises Unparsed as `parse_prompt`.
    """
    reply = _read_words(reply)
    return parse_prompt(reply) if _MARKED.search(reply) else read_prompt(reply)


def parse_refined(reply: str) -> str:
    """Return p_refined; as `parse_prompt`, since Fig. 8 marks it alike."""
    return parse_prompt(reply)


def parse_verdict(reply: str) -> Verdict:
    """Return the verdict of the last "Final Judgement (Yes or No):" that starts a line; Yes means aligned.

    Raises Unparsed: empty, refusal, no_verdict (no such line), unclear_verdict (neither Yes nor No behind it, or both).
    """
    reply = _read_words(reply)
    aligned = _yes_or_no(reply, _VERDICT)
    lines = _VIOLATED.findall(reply)
    line = re.sub(r"\([^)]*\)", " ", lines[-1]).lower().replace("aligned", "accurate") if lines else ""
    named = tuple(name for name in PRINCIPLES if re.search(rf"\b{name}\b", line))
    return Verdict(aligned, () if aligned else named or UNNAMED, reply)


def parse_recheck(reply: str) -> bool:
    """Return whether a query asks for something harmful: the last "Unsafe (Yes or No):" that starts a line.

    Raises Unparsed as `parse_verdict`.
    """
    return _yes_or_no(_read_words(reply), _UNSAFE)


def _read_words(reply: str) -> str:
    reply = clean_reply(reply)
    if not has_words(reply):
        raise Unparsed("empty")
    return reply


def _yes_or_no(reply: str, label: re.Pattern[str]) -> bool:
    labels = list(label.finditer(reply))
    if not labels:
        raise Unparsed(find_talk(reply) or "no_verdict")
    line = reply[labels[-1].end() :].strip().partition("\n")[0]
    if first := re.match(r"\W*(yes|no)\b(?!\W+(?:or\W+)?(?:yes|no)\b)", line, re.I):
        return first[1].lower() == "yes"
    words = {word.lower() for word in re.findall(r"\b(?:yes|no)\b", line, re.I)}
    if len(words) != 1:
        raise Unparsed("unclear_verdict")
    return words == {"yes"}
