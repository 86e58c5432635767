"""What a model says -> text that may become a row: one cleaning for teacher, judge, policy and worker (ours).

The papers' code stores replies as they come. Here a reply loses what is no part of its words (thinking, chat tokens,
signs that nobody sees), and a prompt also what is no part of a film (labels, Markdown, entities, quotes around it).
Raw answers stay in the store; each function gives the same when it reads its own result.
"""

import html
import unicodedata

import regex

from pipeline.text.clean import AMPERSANDS, ENTITY, INVISIBLE, QUOTES
from schemas.reasons import Reason
from schemas.seams import Unparsed

REFUSAL, CHATTER, GARBLED = "refusal", "chatter", "garbled"
REASONS = {REFUSAL: Reason.REFUSED, GARBLED: Reason.GARBLED}
"""detail of Unparsed -> the reason of a row that is set aside for it; others are Reason.UNPARSED"""

_THINKER = r"(?:seed:|ant(?:ml)?:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|scratchpad|reflection)"
_OPEN = rf"(?:<\s*{_THINKER}\s*>|\[THINK(?:ING)?\]|◁think▷|<\|(?:begin_of_thought|START_THINKING)\|>)"
_SHUT = rf"(?:<\s*/\s*{_THINKER}\s*>|\[/THINK(?:ING)?\]|◁/think▷|<\|(?:end_of_thought|END_THINKING)\|>)"
# a template may have written the opening sign itself (DeepSeek-R1, Qwen3), and a cut answer has no closing one
_THOUGHT = regex.compile(rf"{_OPEN}.*?{_SHUT}", regex.I | regex.S)
_THOUGHT_BEFORE = regex.compile(rf"^.*{_SHUT}", regex.I | regex.S)
_THOUGHT_ON = regex.compile(rf"{_OPEN}.*$", regex.I | regex.S)
# gpt-oss: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...
_CHANNEL = regex.compile(r"^.*<\|channel\|>\s*final\s*<\|message\|>", regex.I | regex.S)
_OTHER_CHANNEL = regex.compile(r"<\|channel\|>.*$", regex.I | regex.S)

_ROLE = r"(?:assistant|system|user|human|model|tool|ipython)"
_BAR = r"[|｜]"
_TOKEN = (
    rf"(?:<\s*{_BAR}[^<>|｜]{{0,60}}{_BAR}\s*>|<\s*/?\s*(?:s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn)\s*>"
    r"|<</?SYS>>|\[\s*/?\s*(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\s*\]|<\s*0x[0-9a-f]{2}\s*>)"
)
_TURN = rf"<\s*{_BAR}(?:start_header_id|im_start|start|header_start){_BAR}\s*>|<\s*start_of_turn\s*>"
_HEAD = regex.compile(rf"^\s*(?:(?:{_TURN})\s*{_ROLE}\b|{_TOKEN}|(?:assistant|model)[ \t]*(?=\n))\s*", regex.I)
_TAIL = regex.compile(rf"{_TOKEN}.*$", regex.I | regex.S)
_BREAK = regex.compile(r"\r\n?|[\u0085\u2028\u2029\v\f]")
_UNSEEN = regex.compile(rf"[{INVISIBLE.pattern[1:-1]}--[\n\t]]", regex.V1)

_MARKER = regex.compile(r"\[\[\s*/?\s*(?:start|end)\s*\]\]", regex.I)
_TAG = regex.compile(
    r"<\s*/?\s*(?:b|i|u|p|em|br|hr|ul|ol|li|div|span|strong|code|pre|h[1-6]|answer|output|response|query"
    r"|(?:(?:final|refined|video)[_ ])*prompt)\b[^<>]*>",
    regex.I,
)
_FENCE = regex.compile(
    r"^[ \t]*(?:```|~~~)[\w-]*[ \t]*$|```(?:json|text|markdown|plaintext)?\b|```|~~~", regex.M | regex.I
)
_RULE = regex.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$", regex.M)
_BULLET = regex.compile(r"^[ \t]*(?:(?:[-*+•·▪◦‣–—]|\#{1,6}|>)[ \t]+)+", regex.M)
_NUMBER = regex.compile(r"^[ \t]*\(?\d{1,2}[.)][ \t]+", regex.M)
_EMPHASIS = tuple(
    regex.compile(rf"(?<![\w{sign}]){sign}+(?=[^\s{sign}])([^\n]*?[^\s{sign}]){sign}+(?![\w{sign}])")
    for sign in (r"\*", "_", "`", "~")
)
_STRAY = regex.compile(r"\*{2,}|_{2,}(?=\s|$)|`")

_SURE = r"(?:(?:sure|certainly|of course|absolutely|okay|ok|great|yes)\b(?:\s+thing)?[!,.:]*\s+)?"
_KIND = (
    r"(?:final|refined|revised|optimi[sz]ed|enhanced|improved|rewritten|expanded|detailed|upsampled|new|updated|better)"
)
_LABEL = regex.compile(
    rf"^{_SURE}(?:(?:the|my|your|an?)\s+)?(?:{_KIND}\s+){{0,3}}(?:text[\s-]to[\s-])?(?:video\s+)?(?:generation\s+)?"
    r"(?:prompt|description|caption|output|answer|response)(?:\s+\(?english\)?)?\s*[:：]\s*"
    rf"|^{_SURE}here(?:'s|’s|\s+is|\s+are)\b[^:：\n.]{{0,100}}\b(?:prompt|description|version|caption)s?\b[^:：\n.]{{0,60}}[:：]\s*"
    r"|^(?:(?:优化|改写|最终|视频|生成)(?:后的?|的)?)*(?:提示词|描述|输出|回答)\s*[:：]\s*"
    rf"|^{_ROLE}\s*[:：]\s*",
    regex.I,
)
_WRAPS = {**QUOTES, "{": "}", "「": "」", "『": "』"}
_PLACEHOLDER = regex.compile(r"x+|\.+|(?:your|the)? ?(?:final |refined |video )*prompt(?: here)?", regex.I)

_OPENING = r"(?:(?:hi|hello|unfortunately|apologies|well|no|oh|as an ai\b[^.\n]{0,60})[,.! ]+)*"
_DECLINES = regex.compile(
    rf"{_OPENING}(?:i'?m |i am |we are )?(?:really |very |so |truly )?sorry\b"
    rf"|{_OPENING}(?:my |please accept my )?(?:sincere )?apologies\b|{_OPENING}i (?:must |do )?apologi[sz]e\b"
    rf"|{_OPENING}(?:i|we)(?:'m| am| are| do| must| have to| need to| will)? ?"
    r"(?:can'?t|cannot|can not|won'?t|will not|unable to|not able to|not comfortable|don'?t feel comfortable"
    r"|must decline|have to decline|need to decline|decline to|must refuse|refuse to|not going to|not permitted)\b"
    r"|(?:this|that|your|the) (?:request|content|prompt|query)\b[^.\n]{0,60}"
    r"\b(?:violates?|against|inappropriate|not allowed)\b"
    r"|as an ai(?: language)? (?:model|assistant)\b"
    r"|(?:非常|很|十分)?(?:抱歉|对不起)|我(?:无法|不能|没有办法|没办法|不可以)|作为(?:一个)?(?:AI|人工智能)",
    regex.I,
)
_CHATS = regex.compile(
    r"(?:(?:hi|hello|hey|sure|certainly|of course|absolutely|okay|ok|great|yes|thanks?)\b"
    r"(?: (?:there|thing|you))?[,.! ]+)*(?:"
    r"(?:i'?m|i am|i'd be|i would be|i'll be|we are) (?:always )?(?:so |very |more than )?"
    r"(?:happy|glad|here|ready|delighted|pleased) to (?:help|assist|write|create|generate|provide|be of)\b"
    r"|(?:i|we)(?:'d| would| will|'ll| can) (?:be (?:happy|glad) to |love to |gladly )?(?:help|assist)\b"
    r"|(?:how|what) (?:can|may|could|would) (?:i|you)\b[^.\n]{0,60}\?"
    r"|(?:could|can|would) you (?:please )?(?:provide|clarify|share|tell|give|specify)\b"
    r"|please (?:provide|share|clarify|tell me|let me know|specify)\b|let me know (?:if|how|what)\b|thank you for\b"
    r"|is there anything\b|feel free to\b)"
    r"|(?:当然|好的)[，,！! ]*(?:请|我可以|我很)|很高兴(?:为|能)|请(?:提供|告诉我)|有什么可以帮",
    regex.I,
)
# U+FFFD; a byte of a tokenizer or its sign for a blank; UTF-8 that was read as Latin-1 or cp1252
_BROKEN = regex.compile(r"\ufffd|\p{L}[ĠĊ▁]|▁\p{L}|Ã[\u0080-\u00bf]|Â[\u0080-\u009f\u00a1-\u00bf]|â€|ï¿½|ðŸ|\p{Co}")
# the same as bytes, whose half are controls: cleaning takes them away
_BROKEN_BYTES = regex.compile(r"[ÃÂâð][\u0080-\u009f]")


def clean_reply(text: str) -> str:
    """Return a reply without thinking, chat tokens, controls, bidi marks and half characters; lines stay lines.

    What follows the first chat token behind the words is the model talking to itself, and goes too.
    """
    while (cleaned := _clean_reply_once(text)) != text:
        text = cleaned
    return text


def _clean_reply_once(text: str) -> str:
    text = _UNSEEN.sub("", _BREAK.sub("\n", text))
    text = _THOUGHT_ON.sub("", _THOUGHT_BEFORE.sub("", _THOUGHT.sub("", text)))
    text = _OTHER_CHANNEL.sub("", _CHANNEL.sub("", text)).strip()
    while (bare := _HEAD.sub("", text)) != text:
        text = bare
    return _TAIL.sub("", text).strip()


def clean_prompt(text: str) -> str:
    """Return p in one paragraph: a cleaned reply without markers, entities, tags, Markdown, labels and wrapping quotes.

    NFC, single spaces. Quotes go as a pair or not at all; bullets, headings and their lines follow each other.
    """
    while (cleaned := _clean_prompt_once(text)) != text:
        text = cleaned
    return text


def _clean_prompt_once(text: str) -> str:
    text = clean_reply(text)
    if "&" in text:
        text = clean_reply(ENTITY.sub(lambda match: html.unescape(match.group()), AMPERSANDS.sub("&", text)))
    text = _TAG.sub(" ", _MARKER.sub(" ", text)).strip()
    text = _BULLET.sub("", _RULE.sub("", _FENCE.sub(" ", text)))
    if len(_NUMBER.findall(text)) > 1:
        text = _NUMBER.sub("", text)
    for emphasis in _EMPHASIS:
        text = emphasis.sub(r"\1", text)
    text = " ".join(unicodedata.normalize("NFC", _STRAY.sub("", text)).split())
    return _unwrap(_LABEL.sub("", text))


def _unwrap(text: str) -> str:
    """Drop what stands around the whole text; the signs of `"A" and "B"` stay, and so does a pair of empty ones."""
    closing = _WRAPS.get(text[:1])
    if len(text) < 2 or closing is None or text[-1] != closing:
        return text
    inside = text[1:-1]
    return text if text[0] in inside or closing in inside else inside.strip()


def read_prompt(text: str) -> str:
    """Return p of what a model wrote as a prompt, cleaned.

    Raises Unparsed: empty (no letter, digit or symbol is left), refusal, chatter, placeholder, garbled.
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
    return prompt


def has_words(text: str) -> bool:
    """Return whether a text has anything to read: a letter, a digit or a symbol."""
    return any(unicodedata.category(sign)[0] in "LN" or unicodedata.category(sign) == "So" for sign in text)


def find_talk(text: str) -> str | None:
    """Return REFUSAL or CHATTER of a text that speaks to the user in place of an answer, None of any other."""
    plain = text.strip().replace("’", "'")
    if _DECLINES.match(plain):
        return REFUSAL
    return CHATTER if _CHATS.match(plain) else None


def reason_of(detail: str) -> Reason:
    """Return the reason of an answer that could not be read, by the detail of its Unparsed."""
    return REASONS.get(detail.partition(" ")[0].rstrip(":"), Reason.UNPARSED)
