"""Markdown, tags, JSON and escapes around and in what a model wrote as a prompt: a film has none of them (ours)."""

import json

import regex

from pipeline.text.clean import QUOTES, resolve_entities

_INLINE = r"b|i|u|em|strong|code|span|sub|sup|small|mark|font|a|del|ins|kbd|var|tt"
_BLOCK = (
    r"p|br|hr|ul|ol|li|dl|dt|dd|div|pre|h[1-6]|table|tr|td|th|tbody|thead|section|article|blockquote|html|body|head"
    r"|title|center|answer|output|response|result|completion|query|input|assistant|user|image|video|audio|text|content"
    r"|(?:final|refined|video|enhanced|revised|optimi[sz]ed)(?:[_ ](?:video|answer|output|response|description"
    r"|caption))?"
    r"|description|caption|rewrite|(?:(?:final|refined|video|enhanced|revised|optimi[sz]ed)[_ ])*prompt"
)
_INLINE_TAG = regex.compile(rf"<\s*/?\s*(?:{_INLINE})(?:\s[^<>]*)?/?>", regex.I)
_BLOCK_TAG = regex.compile(rf"<\s*/?\s*(?:{_BLOCK})(?:\s[^<>]*)?/?>", regex.I)
_AROUND = regex.compile(r"^<([A-Za-z]\w{0,30})(?:\s[^<>]*)?>(.*)</\1>$", regex.S)
_OTHER_TAG = regex.compile(r"<[/!?]?[A-Za-z_][^<>\n]{0,80}>|<!--")

_MARKER = regex.compile(r"\[\[\s*/?\s*(?:start|end)\s*\]\]", regex.I)
_FENCE = regex.compile(
    r"^[ \t]*(?:```|~~~)[\w-]*[ \t]*$|```(?:json|text|markdown|plaintext)?\b|```|~~~", regex.M | regex.I
)
_RULE = regex.compile(r"^[ \t]*(?:[-*_=—][ \t]*){3,}$|(?<=\s)[-*_=—]{3,}\s*$", regex.M)
_BULLET = regex.compile(
    r"^[ \t]*(?:(?:[-*+•·‧∙⁃▪▫◦‣●○◉◆◇■□▶►▸➤➢➜→⇒★☆✓✔✅–—]\ufe0f?|\#{1,6}|>)[ \t]+|\d\ufe0f?\u20e3[ \t]*)+", regex.M
)
_NUMBER = regex.compile(r"^[ \t]*\(?(?:\d{1,2}|[A-Za-z]|[ivx]{1,4})[.)][ \t]+", regex.M)
_FIRST = regex.compile(r"^\(?1[.)][ \t]+(?!.*\b2[.)]\s)", regex.S)
_EMPHASIS = tuple(
    regex.compile(rf"(?<![\w{sign}]){sign}+(?=[^\s{sign}])([^\n]*?[^\s{sign}]){sign}+(?![\w{sign}])")
    for sign in (r"\*", "_", "`", "~")
)
_STRAY = regex.compile(r"\*{2,}|_{2,}(?=\s|$)|`|={2,}")
_PICTURE = regex.compile(r"!\[[^\[\]]*\]\([^()\s]*\)")
_LINK = regex.compile(r"\[([^\[\]]+)\]\((?:https?:|www\.|/|#)[^()\s]*\)")
_FORMULA = regex.compile(r"^(?:\\(?:boxed|text|textbf|textit|emph)\{(.*)\}|\$\$(.*)\$\$|\\\[(.*)\\\])$", regex.S)
_TABLE = regex.compile(r"\|\s*:?-{2,}:?\s*\|")

_ESCAPED_SIGN = regex.compile(r"(?:\\u[0-9A-Fa-f]{4})+")
_ESCAPE = regex.compile(r"(?:\\r)?\\([nt\"'/*_#`~|>\[\](){}.!+-])")
_DRIVE = regex.compile(r"(?<![A-Za-z])[A-Za-z]:\\[A-Za-z]|\\\\[A-Za-z]\w*\\[A-Za-z]")  # a path of Windows
_DATA = regex.compile(r"^[\[{]\s*[\[{\"']|^\"\w{1,30}\"\s*:\s*(?:[\"\[{\d-]|true|false|null)|\{\{|\{%")
# of Python or JavaScript: one key, with or without quotes, and one text
_LOOSE_DATA = regex.compile(r"^\{\s*['\"]?\w{1,30}['\"]?\s*:\s*(['\"])(.*)\1\s*,?\s*\}$", regex.S)
_NEXT_KEY = regex.compile(r"['\"]\s*,\s*['\"]?\w{1,30}['\"]?\s*:")
_WRAPS = {**QUOTES, "{": "}", "[": "]", "「": "」", "『": "』", "【": "】"}
_QUOTED_TWICE = regex.compile(r"^(\"{2,3}|'{2,3}|“{2,3})([^\"”]*)(?:\1|”{2,3})$")


def resolve_signs(text: str) -> str:
    """Return a text with its entities and its escapes of JSON as the signs that they stand for."""
    text = resolve_entities(text)
    if "\\" in text:
        text = _ESCAPED_SIGN.sub(lambda match: json.loads(f'"{match.group()}"'), text)
        if not _DRIVE.search(text):
            text = _ESCAPE.sub(lambda match: {"n": "\n", "t": " "}.get(match[1], match[1]), text)
    return text


def strip_markup(text: str) -> str:
    """Return a text of lines without markers, tags that are known, fences, bullets, emphasis and links."""
    text = _MARKER.sub(" ", text).strip()
    text = _BLOCK_TAG.sub(" ", _INLINE_TAG.sub("", _AROUND.sub(r"\2", text))).strip()
    text = open_data(_FENCE.sub(" ", text).strip())
    text = _LINK.sub(r"\1", _PICTURE.sub("", text))
    text = _BULLET.sub("", _RULE.sub("", text))
    text = _NUMBER.sub("", text) if len(_NUMBER.findall(text)) > 1 else _FIRST.sub("", text)
    for emphasis in _EMPHASIS:
        text = emphasis.sub(r"\1", text)
    return _STRAY.sub("", _FORMULA.sub(lambda match: next(filter(None, match.groups()), ""), text.strip()))


def open_data(text: str) -> str:
    """Return the one text that a JSON object or list holds, the text itself where it is neither or holds several."""
    if text[:1] not in ("{", "["):
        return text
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        match = _LOOSE_DATA.match(text)
        return match[2].strip() if match and not _NEXT_KEY.search(match[2]) else text
    while isinstance(value, list | dict):
        values = list(value.values()) if isinstance(value, dict) else value
        if isinstance(value, dict) and len(values) > 1:
            values = [item for key, item in value.items() if "prompt" in key.lower()]
        if len(values) != 1:
            return text
        value = values[0]
    return value if isinstance(value, str) else text


def unwrap(text: str) -> str:
    """Drop what stands around the whole text; the signs of `"A" and "B"` stay, and so does a pair of empty ones."""
    if match := _QUOTED_TWICE.match(text):
        return match[2].strip()
    closing = _WRAPS.get(text[:1])
    if len(text) < 2 or closing is None or text[-1] != closing or text.startswith("{%"):
        return text
    inside = text[1:-1]
    return text if text[0] in inside or closing in inside else inside.strip()


def has_markup(text: str) -> bool:
    """Return whether a cleaned text still holds a tag, a table, data or a template: nobody can say what was meant."""
    return bool(_OTHER_TAG.search(text) or _DATA.search(text) or _TABLE.search(text))
