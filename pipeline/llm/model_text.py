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
    r"[\[({<]*\s*(?:(?:no|empty|missing) (?:video |valid )?prompt|x+|\.+|none|n/?a|null|nil|undefined|nan|todo|tbd"
    r"|string|lorem ipsum\b.*"
    r"|(?:(?:insert|enter|add|write|put|type)\s+)?(?:(?:your|the|a)\s+)?(?:(?:final|refined|video|new)\s+)*prompts?(?:\s+here)?)"
    r"\s*[\])}>.]*",
    regex.I,
)
# a second answer: nobody can say which one is meant
_SECOND = regex.compile(
    r"\b(?:prompts?|versions?|options?|variations?|alternatives?) ?\#?[2-9]\s*[:：]|(?:提示词|方案"
    r"|版本) ?[2-9二三]\s*[:：]",
    regex.I,
)
# U+FFFD; a byte of a tokenizer or its sign for a blank; UTF-8 that was read as Latin-1 or cp1252; GBK that was not
_BROKEN = regex.compile(
    r"\ufffd|\p{L}[ĠĊ](?=\p{Ll})|[\p{Ll}.,!?;:][ĠĊ]|▁(?=[\p{L}\p{N}])|(?:^|\s)##\p{Ll}+|\w@@(?=\s|$)|\\x[89a-fA-F][0-9a-fA-F]"
    r"|(?:=[89A-F][0-9A-F]){2}|(?<=[A-Za-z])├[^\s\w─-╿]|ΓÇ\S|ÔÇ[Öÿôöª£¥]|(?<=[A-Za-z])√[©®≠±´°¨ß•∂∏¥µ∫ªº]|‚Ä[\p{L}\p{S}]"
    r"|(?<=[a-z])[ВГ][©®°±µ¶·¤¦§ЁЄЇІі]|вЂ\S|鈥|(?:[縺繧繝].){2}|(?<=[a-z])[茅谩茂枚眉帽]$|(?<=[a-z])[茅谩茂枚](?=[a-z\s])"
    r"|(?:ã[\u0080-\u00bf‚ƒ„…†‡‰Š‹Œ‘’“”•–—˜™š›œž]{1,2}){2}|Ã[\u0080-\u00bf]|Â[\u0080-\u009f\u00a1-\u00bf]|â€|ï¿½|ðŸ|[\p{Co}--\uf8ff]"
    r"|(?:[ÐÑ][\u0080-\u00bf‚ƒ„…†‡‰Š‹Œ‘’“”•–—]){2}|(?:[ä-é][\u0080-\u00bf‚ƒ„…†‡‰Š‹Œ‘’“”•–—˜™š›œž]{2}){2}|锟斤拷|烫烫烫",
    regex.V1,
)
# a blank by a tokenizer's sign before words; in Malta a name may begin with it
_MARKED_WORD = regex.compile(r"(?<!\S)Ġ\p{Ll}")
_MALTESE = regex.compile("[ġħżċĦŻĊ]")
_RUN = regex.compile(r"[^\x00-\x7f]+")
# closes a quotation or joins words, and so may well stand behind an accent: “CAFÉ”, »Spaß«
_TYPOGRAPHY = frozenset("‘’“”…–—«»‹›„‚•·")
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

    Raises Unparsed: empty (no letter, digit or symbol is left), refusal, chatter, placeholder, markup, garbled,
    several (more than one prompt).
    """
    prompt = clean_prompt(text)
    if _PLACEHOLDER.fullmatch(prompt):
        raise Unparsed("placeholder")
    if not has_words(prompt):
        raise Unparsed("empty")
    if detail := find_talk(prompt):
        raise Unparsed(detail)
    if is_garbled(prompt) or _BROKEN_BYTES.search(text):
        raise Unparsed(GARBLED)
    if _SECOND.search(prompt):
        raise Unparsed("several")
    if has_markup(prompt):
        raise Unparsed("markup")
    return prompt


def is_garbled(text: str) -> bool:
    """Return whether a text has broken words: lost signs, a tokenizer's pieces, UTF-8 read as something else."""
    if _BROKEN.search(text) or (len(_MARKED_WORD.findall(text)) > 1 and not _MALTESE.search(text)):
        return True
    return any(_is_misread(text[: match.start()][-1:], match.group()) for match in _RUN.finditer(text))


def _is_misread(before: str, run: str) -> bool:
    """Return whether signs beyond ASCII, behind the sign `before`, are UTF-8 that was read as another encoding."""
    if text := _read_as_utf8(b"".join(_encode_western(sign) for sign in run)):
        odd = any(sign not in _TYPOGRAPHY for sign in run[1:])
        if len(text) < len(run) and (odd or run[0] in "ÃÂ") and not (before.isupper() and len(run) == 2):
            return True
    for encoding, least in (("cp1251", 2), ("gb18030", 1)):
        try:
            text = _read_as_utf8(run.encode(encoding))
        except UnicodeEncodeError:
            continue
        if least <= len(text) < len(run):
            return True
    return False


def _encode_western(sign: str) -> bytes:
    try:
        return sign.encode("cp1252")
    except UnicodeEncodeError:
        return sign.encode("latin-1", "replace")


def _read_as_utf8(signs: bytes) -> str:
    """Return what bytes say in UTF-8, "" where they are none."""
    try:
        return "" if b"?" in signs else signs.decode()
    except UnicodeDecodeError:
        return ""


def has_words(text: str) -> bool:
    """Return whether a text has anything to read: a letter, a digit or a symbol."""
    return any(unicodedata.category(sign)[0] in "LN" or unicodedata.category(sign) == "So" for sign in text)


def read_reason(detail: str) -> Reason:
    """Return the reason of an answer that could not be read, by the detail of its Unparsed."""
    return REASONS.get(detail.partition(" ")[0].rstrip(":"), Reason.UNPARSED)
