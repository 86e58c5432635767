"""raw -> x: the one text cleaning, for queries, rollouts and serving alike, and the words that texts are compared by.

VPO 3.2 filters VidProM by "special characters" and length without saying how; the released queries keep their HTML
entities and generator flags. What is cleaned here is ours.
"""

import functools
import hashlib
import html
import unicodedata
from pathlib import Path

import regex

# Entities end in a semicolon here: html.unescape alone would also turn the "&copy" of "?a=1&copy=2" into a sign.
ENTITY = regex.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Without one only the punctuation that is escaped most, where neither a word nor a value of an address follows.
CUT_ENTITY = regex.compile(
    r"&(?:(?:amp|lt|gt|quot|apos|nbsp)(?![\w=;])"
    r"|\#0*(?:3[3-9]|4[0-7]|5[89]|6[0-4]|9[1-6]|12[3-6]|160|82[0-9]{2})(?![\d;])"
    r"|\#[xX]0*(?:2[1-9A-Fa-f]|3[A-Fa-f]|60|[aA]0|20[12][0-9A-Fa-f])(?![0-9A-Fa-f;]))"
)
# A chain such as &amp;amp;amp; would otherwise cost a pass a link.
AMPERSANDS = regex.compile(r"&(?:(?:amp|#38|#x26);)+", regex.IGNORECASE)
# Zero-width (non-)joiners and signs of style stay: Persian, Indic scripts and emoji are spelled with them.
INVISIBLE = regex.compile(
    r"[[\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}]--[\u200c\u200d\ufe0e\ufe0f]]", regex.V1
)
JOINERS = regex.compile(r"[\u200c\u200d]")
SPACE = regex.compile(r"[\p{White_Space}\u2800]+")

PREFIX = regex.compile(
    r"^(?:/(?:imagine|create|animate|generate)\b\s*)?(?:(?:(?:positive|video|text|image)\s)?pro?mpt\s?[:：]\s*)+"
    r"|^/(?:imagine|create|animate|generate)\b\s*|^[:：]\s+",
    regex.IGNORECASE,
)
QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "„": "“", "”": "”"}

# Flags of Pika (-ar, -motion, -gs, -seed, -fps, -camera, -neg, -w, -hide) and Midjourney (--s, --v, --q, --no, ...).
_DASH = r"(?:-{1,3}|[–—−])"
_IS = r"\s?[:=]?\s?"
_NUMBER = r"\d+(?:\.\d+)?"
_RATIO = r"\d{1,4}(?:\.\d+)?\s?[:：x×/]\s?(?:\d{1,4}(?:\.\d+)?)?"
_MOVES = (
    r"(?:zoom(?:s|ing)?|pan(?:s|ning)?|tilt(?:s|ing)?|rotat(?:es?|ing|ion)|orbit(?:s|ing)?|in|out|up|down|left|right"
    r"|clockwise|(?:counter|anti)[\s-]?clockwise|a?c?cw|slow(?:ly)?|and)"
)
_NAMES = r"(?:ar|aspect|motion|gs|guidance|seed|fps|cam(?:era)?|neg(?:ative)?|hide|style|stylize|chaos|niji|no)"
_FLAG = rf"""(?:
    {_DASH}\s?(?:
        ar(?:{_IS}(?:{_RATIO}|{_NUMBER}))?
      | (?:aspect(?:\sratio)?|as|ap|size){_IS}{_RATIO}
      | (?:motion|movement|moition|gs|guidance|seed|fps|size|speed){_IS}{_NUMBER}
      | (?:stylize|style|chaos|niji|quality|version){_IS}{_NUMBER}
      | style\sraw
      | (?:motion|gs|seed|fps|hide)(?=\s*(?:$|[-–—−,.;\]]))
      | cam(?:era)?{_IS}{_MOVES}(?:\s?[,/&]?\s?{_MOVES})*(?:\s?{_NUMBER})?(?=\s*(?:$|[-–—−,.;|\]]|message:))
      | neg(?:{_IS}["“][^"“”]*["”]|(?![\p{{L}}\p{{N}}]).*?(?=\s*(?:$|{_DASH}\s?{_NAMES}(?![\p{{L}}]))))
    )
  | {_DASH}(?:(?:[mwsvq]|iw|duration){_IS}{_NUMBER}s?|{_RATIO}|\d+\s?fps|tile|zoom\s(?:in|out)(?=\s*(?:$|[-–—−,.;|\]])))
  | (?:{_DASH}negative(?:\sprompts?)?|--no)(?![\p{{L}}\p{{N}}]).*?(?=\s*(?:$|{_DASH}\s?{_NAMES}(?![\p{{L}}])))
)(?![\p{{L}}\p{{N}}])"""
# A dash inside a word is no flag ("slow-motion 4 dogs"), but for the one that cannot be misread: "film-ar 16:9".
FLAGS = regex.compile(
    rf"(?<![\s,;|])[\s,;|]*+(?:(?<![\p{{L}}\p{{N}}]){_FLAG}|-{{1,2}}ar\s?{_RATIO}(?![\p{{L}}\p{{N}}]))(?:[\s,;|]*+{_FLAG})*+",
    regex.VERBOSE | regex.IGNORECASE,
)
# no flag without one; looking for it first spares most texts the long pattern
DASH = regex.compile(rf"(?<![\p{{L}}\p{{N}}]){_DASH}|-ar", regex.IGNORECASE)
TIDY = regex.compile(r"\[\s*\]|\(\s*\)|\s+(?=[,.;:!?\])])")

LINK = regex.compile(r"\b(?:https?://|www\.)\S+", regex.IGNORECASE)
MENTION = regex.compile(r"<[@#][!&]?\d+>|(?<!\w)@\w+")
# Scripts without spaces between words count each character with its marks as a word. That is what the rules of UAX 29
# give without a dictionary: its Line_Break class Complex_Context holds Thai, Lao, Khmer, Burmese and their neighbours.
_SIGN = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Tangut}\p{Nushu}]"
_LETTER = r"[[\p{Line_Break=Complex_Context}\p{Javanese}\p{Balinese}]&&\p{L}]"
WORD = regex.compile(
    rf"{_SIGN}|{_LETTER}\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--{_SIGN}--{_LETTER}]+",
    regex.V1,
)


def clean(text: str, keep_flags: bool = False) -> str:
    """Return x: `text` without entities, control characters, generator flags, "prompt:" and wrapping quotes.

    NFC, one line, single spaces; idempotent, since it is applied until nothing changes.
    """
    while (cleaned := _pass(text, keep_flags)) != text:
        text = cleaned
    return text


def resolve_entities(text: str) -> str:
    """Return a text with its HTML entities as the signs that they stand for, once."""
    if "&" not in text:
        return text
    text = CUT_ENTITY.sub(lambda match: f"{match.group()};", AMPERSANDS.sub("&", text))
    return ENTITY.sub(lambda match: html.unescape(match.group()), text)


def _pass(text: str, keep_flags: bool) -> str:
    text = resolve_entities(text)
    # printable ASCII has no blank but the space, and nothing invisible
    if "  " in text or not text.isascii() or not text.isprintable():
        text = INVISIBLE.sub("", SPACE.sub(" ", text))
    text = unicodedata.normalize("NFC", text).strip()
    text = _unquote(PREFIX.sub("", text))
    return text if keep_flags else _without_flags(text)


def _without_flags(text: str) -> str:
    if not DASH.search(text):
        return text
    bare = FLAGS.sub(" ", text)
    return TIDY.sub("", bare).strip(" ,;|-–—") if bare != text else text


def _unquote(text: str) -> str:
    """Drop quotes around the whole text; those of `"A" and "B"` stay."""
    closing = QUOTES.get(text[:1])
    if len(text) < 2 or closing is None or text[-1] != closing:
        return text
    inside = text[1:-1]
    return text if text[0] in inside or closing in inside else inside.strip()


def tokens(text: str) -> tuple[str, ...]:
    """Return the words two texts are compared by: no links, mentions, flags or punctuation."""
    return words(MENTION.sub(" ", LINK.sub(" ", clean(text))))


def words(text: str) -> tuple[str, ...]:
    """Return all words of a text, NFKC and lower case; joiners inside a word do not hide it."""
    return tuple(WORD.findall(JOINERS.sub("", unicodedata.normalize("NFKC", text).lower())))


@functools.cache
def clean_hash() -> str:
    """Return 16 hex digits of this module's own source: rows cleaned under one hash are cleaned alike."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
