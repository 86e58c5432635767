"""Thinking, chat tokens and turns of other speakers in what a model says: what is no part of its answer (ours).

Of Llama, Qwen, Gemma, GLM, Mistral, Cohere, DeepSeek, Phi, gpt-oss, MiniMax, Kimi and Seed, by their chat templates.
"""

import regex

from pipeline.text.clean import INVISIBLE

_THINKER = (
    r"(?:(?!end)\w{1,20}[:_-])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|scratchpad|reflection|monologue|cot"
    r"|rationale|deliberation)(?:[:_-]\w{1,20})?"
)
_OPEN = (
    rf"(?:<\s*{_THINKER}(?:\s[^<>]{{0,80}})?>|\[THINK(?:ING)?\]|◁think▷"
    rf"|<\|\s*(?:{_THINKER}|START_THINKING)\s*\|>|<unused94>)"
)
_SHUT = (
    rf"(?:<\s*/\s*{_THINKER}\s*>|\[/THINK(?:ING)?\]|◁/think▷"
    rf"|<\|\s*(?:/\s*{_THINKER}|end_of_thought|END_THINKING)\s*\|>|<unused95>)"
)
# a template may have written the opening sign itself (DeepSeek-R1, Qwen3), and a cut answer has no closing one
_THOUGHT = regex.compile(rf"{_OPEN}.*?{_SHUT}", regex.I | regex.S)
_THOUGHT_BEFORE = regex.compile(rf"^.*{_SHUT}", regex.I | regex.S)
_THOUGHT_ON = regex.compile(rf"{_OPEN}.*$", regex.I | regex.S)
# words that may also name a thing of the film: in pairs alone
_NOTES = regex.compile(
    r"<(details|plan(?:ning)?|draft|notes?|commentary)(?:\s[^<>]{0,80})?>.*?</\1>", regex.I | regex.S
)
# gpt-oss: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...; a server may have
# left the tokens out of it and the words in
_CHANNEL = regex.compile(
    r"^.*<\|channel\|>\s*final\b(?:[^<]*<\|constrain\|>)?[^<]*<\|message\|>"
    r"|^\s*analysis(?=\s|[A-Z]).*(?:assistantfinal(?=\s|[A-Z\"])"
    r"|\n[ \t]*assistant\s*\n?[ \t]*final[ \t]*(?=\n|[A-Z\"]))",
    regex.S,
)
_OTHER_CHANNEL = regex.compile(r"<\|channel\|>.*$", regex.I | regex.S)

ROLE = r"(?:assistant|system|user|human|model|tool|ipython|developer|observation|ai)"
_BAR, _LEFT, _RIGHT = r"[|｜]", r"[<＜‹]", r"[>＞›]"
_NAMES = (
    r"s|bos|eos|pad|unk|mask|cls|sep|sop|eop|eod|eot|eom|bot|eoa|eoh|end|turn|im_start|im_end|(?:start|end)_of_\w{1,20}"
    r"|begin_of_text|(?:start|end)of\w{4,12}|fim_\w{1,12}|_(?:user|bot|end|system|assistant)|unused\d{1,4}"
    r"|reserved_\w{1,30}|extra_id_\d{1,3}|special_\d{1,4}|custom_token_\d{1,5}|(?:\w{1,12}:)?tool_calls?|tool_response"
)
TOKEN = (
    # <|eot_id|>, also without its second bar or cut at the end; <turn|>, |im_end|>
    rf"(?:{_LEFT}\s*{_BAR}[^<>|｜]{{0,60}}(?:{_BAR}?\s*{_RIGHT}|$)|[<＜‹|｜][\w▁.]{{1,40}}{_BAR}\s*{_RIGHT}"
    rf"|{_LEFT}\s*/?\s*(?:{_NAMES})\s*/?\s*{_RIGHT}|<</?SYS>>"
    r"|\[\s*/?\s*(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\s*\]|\[/s\]"
    r"|\[\s*/?\s*(?-i:EOS|BOS|PAD|UNK|MASK|CLS|SEP|EOT|EOD|gMASK|sMASK)\s*\]|\[\|[^\[\]|]{0,40}\|\]"
    r"|\[e~\[|\]~!?b(?:\[|\])|\]<\]\w{1,40}\[>\[)"
)
_TURN = (
    rf"(?:{_LEFT}\s*{_BAR}\s*(?:start_header_id|im_start|start|header_start|turn|start_of_role){_BAR}?\s*{_RIGHT}"
    r"|<\s*start_of_turn\s*>|<extra_id_\d{1,3}>|\]~b\])"
)
_OTHERS = (
    rf"(?:{_TURN}\s*(?:user|system|human|tool|developer|observation)\b"
    rf"|{_LEFT}{_BAR}\s*(?:user|system|human|prompter|observation)(?:_token)?\s*{_BAR}{_RIGHT}"
    r"|\[\|(?:user|system|human)\|\]|<_(?:user|system)>|\[INST\])"
)
_MODELS = (
    rf"(?:{_TURN}\s*(?:assistant|model|ai)\b|{_LEFT}{_BAR}\s*(?:assistant|model|bot|chatbot)(?:_token)?\s*{_BAR}{_RIGHT}"
    r"|\[\|assistant\|\]|<_(?:bot|assistant)>|\[/INST\])"
)
# a model that repeats the conversation before it answers
_ECHO = regex.compile(rf"^\s*(?:{TOKEN}\s*)*?{_OTHERS}(?:.*?{_MODELS}|.*$)", regex.I | regex.S)
_HEAD = regex.compile(
    rf"^\s*(?:{_TURN}\s*{ROLE}\b|\[gMASK\]\s*sop\b|{TOKEN}|(?:assistant|model)[ \t]*(?=\n))\s*", regex.I
)
_TAIL = regex.compile(rf"{TOKEN}.*$", regex.I | regex.S)
# without one there is nothing but a bare role to look for
_SIGNS = regex.compile(r"[<>＜＞‹›|｜\[\]◁]")
_BREAK = regex.compile(r"\r\n?|[\u0085\u2028\u2029\v\f]")
# what colours a terminal, moves its cursor or names its window
_COLOUR = regex.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|\x9d|\x90)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
)
# bytes that a tokenizer wrote as their names: those of ASCII are signs, others are halves of broken ones
_BYTE = regex.compile(r"<\s*0x([0-9a-f]{2})\s*>", regex.I)
_UNSEEN = regex.compile(rf"[{INVISIBLE.pattern[1:-1]}--[\n\t]]", regex.V1)


def clean_reply(text: str) -> str:
    """Return a reply without thinking, chat tokens, controls, bidi marks and half characters; lines stay lines.

    What follows the first chat token behind the words is the model talking to itself, and goes too.
    """
    while (cleaned := _clean_once(text)) != text:
        text = cleaned
    return text


def _read_byte(match: regex.Match[str]) -> str:
    byte = int(match[1], 16)
    return chr(byte) if byte < 128 else "\ufffd"


def _clean_once(text: str) -> str:
    text = _UNSEEN.sub("", _BREAK.sub("\n", _COLOUR.sub("", text)))
    text = _BYTE.sub(_read_byte, text)
    if not _SIGNS.search(text):  # most replies
        return _HEAD.sub("", _CHANNEL.sub("", text)).strip()
    text = _NOTES.sub("", _THOUGHT_ON.sub("", _THOUGHT_BEFORE.sub("", _THOUGHT.sub("", text))))
    text = _OTHER_CHANNEL.sub("", _CHANNEL.sub("", text)).strip()
    text = _ECHO.sub("", text)
    while (bare := _HEAD.sub("", text)) != text:
        text = bare
    return _TAIL.sub("", text).strip()
