"""Turns of a chat that somebody wrote into one text: read where speakers are plain words, else refused.

HH-RLHF writes "\\n\\nHuman: x\\n\\nAssistant: p"; Guanaco "### Human: x"; exports of a chat "User: x".
"""

import regex

from pipeline.text.ready_turns import Misfit

SPEAKERS = {
    "human": "Human", "user": "Human", "instruction": "Human", "input": "Human",
    "assistant": "Assistant", "response": "Assistant", "system": "System",
}  # fmt: skip
"""speaker as written -> as an error names it"""
TURN = regex.compile(
    r"(?:^|\n)[ \t]*(?:(?:#{1,4}[ \t]*)?(?P<name>human|user|assistant|system)"
    r"|#{1,4}[ \t]*(?P<name>instruction|input|response))[ \t]*[:：][ \t]*"
    r"|(?<=\s)(?P<name>assistant)[ \t]*[:：]\s*$",
    regex.I,
)
CHAT_TOKEN = regex.compile(
    r"<\s*[|｜][^<>|｜\n]{1,40}[|｜]\s*>|</?s>|<(?:bos|eos|pad|unk)>|\[/?(?:INST|gMASK|SYSTEM_PROMPT)\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|<extra_id_\d>|<_(?:user|bot|system)>|\[\|\w{1,20}\|\]",
    regex.I,
)
"""of Qwen, Llama, Mistral, Gemma, DeepSeek, GLM and others, by their chat templates"""


def list_turns(text: str) -> list["regex.Match[str]"]:
    """Return where turns begin in a text, with the speaker as group `name`.

    None where the text neither begins with a turn nor leaves the last one to the assistant: then it is a text of lines.
    """
    turns = list(TURN.finditer(text.strip()))
    open_ended = turns and name_speakers(turns)[-1] == "Assistant" and turns[-1].end() == len(text.strip())
    return turns if open_ended or (turns and turns[0].start() == 0) else []


def name_speakers(turns: list["regex.Match[str]"]) -> list[str]:
    """Return who speaks: Human, Assistant, System."""
    return [SPEAKERS[match["name"].lower()] for match in turns]


def refuse_tokens(text: str) -> None:
    """Raise Misfit for a text with the tokens of a chat format in it."""
    if token := CHAT_TOKEN.search(text):
        raise Misfit(f"a filled-in chat format ({token[0]!r}) stands where the query belongs; expected its words alone")


def read_request(text: str) -> str:
    """Return what the user asks in a text that may be a chat written out, up to the turn that is left to the assistant.

    Raises Misfit for other turns than one of the human (and an empty one of the assistant), and for chat tokens.
    """
    refuse_tokens(text)
    text = text.strip()
    turns = list_turns(text)
    if not turns:
        return text
    speakers = name_speakers(turns)
    end = turns[-1] if speakers[1:] else None
    is_one = speakers in (["Human"], ["Human", "Assistant"]) and turns[0].start() == 0
    if not is_one or (end and text[end.end() :].strip()):
        raise Misfit(
            f"the turns written into its text are {', '.join(speakers)}; expected one of Human before "
            "any other words, and at its end Assistant without any"
        )
    request = text[turns[0].end() : end.start() if end else None].strip()
    if not request:
        raise Misfit("the human's turn written into its text is empty")
    return request
