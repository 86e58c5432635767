"""What a model says -> text that may become a row: one cleaning for teacher, judge, policy and worker (ours).

The papers' code stores replies as they come. Here a reply loses what is no part of its words (thinking, chat tokens,
signs that nobody sees), and a prompt also what is no part of a film (labels, Markdown, entities, quotes around it).
Raw answers stay in the store; each function gives the same when it reads its own result.
"""

import unicodedata

import regex

from pipeline.llm.chat_tokens import clean_reply as clean_reply
from pipeline.llm.labels import strip_echoes, strip_label
from pipeline.llm.markup import has_markup, resolve_signs, strip_markup, unwrap
from pipeline.llm.talk import CHATTER as CHATTER
from pipeline.llm.talk import REFUSAL as REFUSAL
from pipeline.llm.talk import find_talk as find_talk
from pipeline.text.clean import SPACE
from schemas.reasons import Reason
from schemas.seams import Unparsed

GARBLED = "garbled"
REASONS = {REFUSAL: Reason.REFUSED, GARBLED: Reason.GARBLED, "empty": Reason.EMPTY}
"""detail of Unparsed -> the reason of a row that is set aside for it; others are Reason.UNPARSED"""

_PLACEHOLDER = regex.compile(
    r"[\[({<]*\s*(?:x+|\.+|none|n/?a|null|nil|undefined|nan|todo|tbd|string|lorem ipsum\b.*"
    r"|(?:(?:insert|enter|add|write|put|type)\s+)?(?:(?:your|the|a)\s+)?(?:(?:final|refined|video|new)\s+)*prompts?(?:\s+here)?)"
    r"\s*[\])}>.]*",
    regex.I,
)
# U+FFFD; a byte of a tokenizer or its sign for a blank; UTF-8 that was read as Latin-1 or cp1252; GBK that was not
_BROKEN = regex.compile(
    r"\ufffd|[\p{L}\p{P}][ĠĊ]|▁|Ã[\u0080-\u00bf]|Â[\u0080-\u009f\u00a1-\u00bf]|â€|ï¿½|ðŸ|\p{Co}"
    r"|(?:[ÐÑ][\u0080-\u00bf‚ƒ„…†‡‰Š‹Œ‘’“”•–—]){2}|(?:[ä-é][\u0080-\u00bf‚ƒ„…†‡‰Š‹Œ‘’“”•–—˜™š›œž]{2}){2}|锟斤拷|烫烫烫"
)
# the same as bytes, whose half are controls: cleaning takes them away
_BROKEN_BYTES = regex.compile(r"[ÃÂâðÐÑä-é][\u0080-\u009f]")


def clean_prompt(text: str) -> str:
    """Return p in one paragraph: a cleaned reply without markers, entities, tags, Markdown, labels and wrapping quotes.

    NFC, single spaces. Quotes go as a pair or not at all; bullets, headings and their lines follow each other.
    """
    while (cleaned := _clean_once(text)) != text:
        text = cleaned
    return text


def _clean_once(text: str) -> str:
    text = clean_reply(resolve_signs(clean_reply(text)))
    text = strip_markup(strip_echoes(text))
    text = SPACE.sub(" ", unicodedata.normalize("NFC", text)).strip()
    return unwrap(strip_label(text))


def read_prompt(text: str) -> str:
    """Return p of what a model wrote as a prompt, cleaned.

    Raises Unparsed: empty (no letter, digit or symbol is left), refusal, chatter, placeholder, markup, garbled.
    """
    prompt = clean_prompt(text)
    if _PLACEHOLDER.fullmatch(prompt):
        raise Unparsed("placeholder")
    if not has_words(prompt):
        raise Unparsed("empty")
    if detail := find_talk(prompt):
        raise Unparsed(detail)
    if _BROKEN.search(prompt) or _BROKEN_BYTES.search(text):
        raise Unparsed(GARBLED)
    if has_markup(prompt):
        raise Unparsed("markup")
    return prompt


def has_words(text: str) -> bool:
    """Return whether a text has anything to read: a letter, a digit or a symbol."""
    return any(unicodedata.category(sign)[0] in "LN" or unicodedata.category(sign) == "So" for sign in text)


def read_reason(detail: str) -> Reason:
    """Return the reason of an answer that could not be read, by the detail of its Unparsed."""
    return REASONS.get(detail.partition(" ")[0].rstrip(":"), Reason.UNPARSED)
