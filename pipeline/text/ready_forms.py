"""The forms in which people bring ready sets, told apart by their keys: ours, VPO's, TRL's, LLaMA-Factory's, OpenAI's.

VPO's release (CCCCCC/VPO) holds messages, chosen, rejected; Prompt-A-Video's a list of query and prompt. TRL:
docs/source/dataset_formats.md. LLaMA-Factory: data/README.md. OpenAI: "Supervised fine-tuning" and "Direct preference
optimization".
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import regex

from pipeline.text.clean import words
from pipeline.text.ready_turns import Exchange, Misfit, describe, list_keys, read_exchange
from pipeline.text.written_turns import list_turns, name_speakers, read_request, refuse_tokens

Record = dict[str, Any]
CUE = regex.compile(r"(?:^|\n)[ \t#*]*(?:user[ \t]+)?query:\s*", regex.IGNORECASE)
ANSWER_CUE = regex.compile(r"\s*(?:#+\s*)?video prompt:\s*", regex.IGNORECASE)
LAST_CUE = regex.compile(r"query:\s*", regex.IGNORECASE)
LEAST_WORDS = 2
"""Words that two texts must begin with before that counts as their query: one is an article as a rule. Ours."""


class Parts(NamedTuple):
    """What a record holds by role: `request` is x, perhaps with an instruction around or before it.

    answers: (prompt,) of D_SFT, (chosen, rejected) of D_dpo. `named`: the record names it as the query itself.
    """

    request: str
    answers: tuple[str, ...]
    instruction: str = ""
    named: bool = False
    has_system: bool = False
    cut: bool = False
    """whether the request is only known as what both answers begin with"""


class Frame(NamedTuple):
    """The words around the query in a filled-in instruction, of the policy's template."""

    before: str
    after: str


class Form(NamedTuple):
    """Whose form it is, the keys that tell it, and its reader."""

    name: str
    keys: tuple[str, ...]
    read: Callable[[Record], Parts]


def read_record(record: Any, forms: tuple[Form, ...]) -> Parts:
    """Return what a record holds. Raises Misfit where no form fits, or two that fit do not say the same."""
    if isinstance(record, list) and forms is SFT_FORMS:
        return _read_couple(record)
    if not isinstance(record, dict):
        raise Misfit(f"{describe(record)}; expected an object with {list_forms(forms)}")
    values = fold_keys(record)
    if rejected := [key for key in ("label", "kto_tag") if values.get(key) is False]:
        raise Misfit(f"{rejected[0]} is false: it says that the answer is a bad one; take such records out")
    fitting = [form for form in forms if set(form.keys) <= values.keys()]
    explicit = [form for form in fitting if form.keys != IMPLICIT]
    if explicit:
        fitting = explicit
    elif fitting and (others := values.keys() & SPEAKERS):
        raise Misfit(f"its keys are {list_keys(record)}: {', '.join(sorted(others))} beside chosen and rejected")
    if not fitting:
        raise Misfit(f"its keys are {list_keys(values)}; expected {list_forms(forms)}")
    first, *rest = [form.read(values) for form in fitting]
    for form, parts in zip(fitting[1:], rest, strict=True):
        if parts.answers != first.answers or find_query(parts, None) != find_query(first, None):
            raise Misfit(
                f"read as {fitting[0].name} ({', '.join(fitting[0].keys)}) it says another thing than as {form.name} "
                f"({', '.join(form.keys)}); take out the keys that are not meant"
            )
    return _take_named_query(values, first)


def _take_named_query(values: Record, parts: Parts) -> Parts:
    """Return the parts with the query of the key `query` where one stands beside turns that hold it."""
    query = values.get("query")
    if parts.named or not isinstance(query, str) or not query.strip():
        return parts
    # by its words: a filled-in template has other signs for some of its own
    if " ".join(words(query)) not in " ".join(words(f"{parts.instruction} {parts.request}")):
        raise Misfit(f"its query {query[:60]!r} is not in the user turn {parts.request[:60]!r}")
    return parts._replace(request=query.strip(), instruction="", named=True)


def list_forms(forms: tuple[Form, ...]) -> str:
    """Return the keys of all forms as an error names them."""
    return " or ".join(f"({', '.join(form.keys)})" for form in forms)


def find_query(parts: Parts, frame: Frame | None) -> str:
    """Return x: the query that the record names, or the text between an instruction's words and its last cue.

    Turns that are written out in it are read. Raises Misfit for those that are not one question, and for chat tokens.
    """
    if parts.named:  # somebody typed it, whatever it begins with
        refuse_tokens(parts.request)
        return parts.request
    whole = f"{parts.instruction}\n{parts.request}" if parts.instruction else parts.request
    inside = _cut_frame(whole, frame) if frame else None
    if inside is None:
        inside = _between_cues(whole)
    return _untag(read_request(parts.request if inside is None else inside))


def _cut_frame(text: str, frame: Frame) -> str | None:
    text, before, after = text.strip(), frame.before.strip(), frame.after.strip()
    if before + after and text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after):
        return text[len(before) : len(text) - len(after)].strip()
    return None


def _between_cues(text: str) -> str | None:
    cues = list(ANSWER_CUE.finditer(text))
    if not cues or cues[-1].end() != len(text):
        return None
    end = cues[-1]
    start = CUE.search(text, endpos=end.start()) or LAST_CUE.search(text, endpos=end.start())
    return text[start.end() : end.start()].strip() if start else None


def _untag(text: str) -> str:
    match = regex.fullmatch(r"\s*<query>(.*)</query>\s*", text, regex.DOTALL | regex.IGNORECASE)
    return match[1].strip() if match else text.strip()


def fold_keys(record: Record) -> Record:
    """Return the record without null values, its keys in lower case without blanks around them."""
    values: Record = {}
    for key, value in record.items():
        if value is None:
            continue
        folded = str(key).strip().lower()
        if folded in values:
            raise Misfit(f"two keys are {folded!r} but for case and blanks")
        values[folded] = value
    return values


def _read_couple(record: list[Any]) -> Parts:
    if len(record) != 2 or not all(isinstance(text, str) and text.strip() for text in record):
        raise Misfit("a list; expected a text for the query and a text for the prompt, as Prompt-A-Video has them")
    return Parts(record[0].strip(), (record[1].strip(),), named=True)


def take_text(record: Mapping[str, Any], key: str) -> str:
    """Return the text of a key. Raises Misfit for anything else, and for an empty one."""
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        kind = "an empty text" if isinstance(value, str) else describe(value)
        raise Misfit(f"{key} is {kind} where a text belongs")
    return value.strip()


def _read_named(*answers: str) -> Callable[[Record], Parts]:
    """Return a reader of a query and answers in keys of their own."""

    def read(record: Record) -> Parts:
        texts = tuple(_take_answer(record, key)[0] for key in answers)
        return Parts(take_text(record, "query"), texts, named=True)

    return read


def _take_answer(record: Record, key: str) -> tuple[str, Exchange]:
    exchange = read_exchange(key, record[key], bare_role="assistant")
    if exchange.answer is None:
        raise Misfit(f"{key} has no assistant turn")
    return exchange.answer, exchange


def _read_chat(key: str) -> Callable[[Record], Parts]:
    """Return a reader of one conversation that holds the request and the answer."""

    def read(record: Record) -> Parts:
        if not isinstance(record[key], list):
            raise Misfit(f"{key} is {describe(record[key])} where a list of turns belongs")
        exchange = read_exchange(key, record[key], bare_role="user")
        if exchange.request is None or exchange.answer is None:
            missing = "user" if exchange.request is None else "assistant"
            raise Misfit(f"{key} has no {missing} turn; expected one user turn and then one assistant turn")
        has_system = exchange.has_system or bool(record.get("system"))
        return Parts(exchange.request, (exchange.answer,), has_system=has_system)

    return read


def _read_answered(request_key: str, *answers: str) -> Callable[[Record], Parts]:
    """Return a reader of a request in one key and of answers in others, which may repeat the request before it."""

    def read(record: Record) -> Parts:
        value = record[request_key]
        if isinstance(value, dict) and "messages" in value:  # OpenAI keeps the messages one level below
            value = value["messages"]
        exchange = read_exchange(request_key, value, bare_role="user")
        if exchange.request is None:
            raise Misfit(f"{request_key} has no user turn")
        sides = [_take_answer(record, key) for key in answers]
        if exchange.answer is not None and exchange.answer not in [text for text, _ in sides]:
            raise Misfit(f"{request_key} ends with an assistant turn that is none of {' and '.join(answers)}")
        if others := [key for key, (_, side) in zip(answers, sides, strict=True)
                      if side.request not in (None, exchange.request)]:  # fmt: skip
            raise Misfit(f"{others[0]} begins with another user turn than {request_key}")
        has_system = exchange.has_system or bool(record.get("system")) or any(side.has_system for _, side in sides)
        return Parts(exchange.request, tuple(text for text, _ in sides), has_system=has_system)

    return read


def _read_alpaca(*answers: str) -> Callable[[Record], Parts]:
    """Return a reader of LLaMA-Factory's alpaca form: the query is `input`, or `instruction` where that is empty."""

    def read(record: Record) -> Parts:
        if record.get("history"):
            raise Misfit("history holds earlier turns; expected one user turn alone")
        texts = tuple(_take_answer(record, key)[0] for key in answers)
        has_system = bool(record.get("system"))
        instruction, given = take_text(record, "instruction"), record.get("input", "")
        if not isinstance(given, str):
            raise Misfit(f"input is {describe(given)} where a text belongs")
        if not given.strip():
            return Parts(instruction, texts, has_system=has_system)
        return Parts(given.strip(), texts, instruction=instruction, has_system=has_system)

    return read


def _read_implicit(record: Record) -> Parts:
    """Read a pair whose sides hold the request themselves: as turns, as written turns, or as a common beginning."""
    if not (isinstance(record["chosen"], str) and isinstance(record["rejected"], str)):
        (chosen, left), (rejected, right) = (_take_answer(record, key) for key in IMPLICIT)
        if left.request is None or left.request != right.request:
            raise Misfit(f"its keys are {list_keys(record)}; expected the same user turn in chosen and rejected")
        return Parts(left.request, (chosen, rejected), has_system=left.has_system or right.has_system)
    sides = (take_text(record, "chosen"), take_text(record, "rejected"))
    common = os.path.commonprefix(sides)
    if cues := [*ANSWER_CUE.finditer(common)]:
        return _cut_sides(sides, cues[-1].end())
    if len(turns := list_turns(common)) > 1:
        return _cut_at_turn(sides, turns, common)
    # TRL's rule, at the end of a word: what both sides begin with is the request
    if all(len(side) > len(common) for side in sides) and not common[-1:].isspace():
        common = common[: max(common.rfind(" "), common.rfind("\n")) + 1]
    common = common[: common.rfind("\n") + 1] or common
    if len(words(common)) < LEAST_WORDS or not all(side[len(common) :].strip() for side in sides):
        raise Misfit(
            "chosen and rejected have no common beginning that could be the query; expected a key query or prompt"
        )
    return _cut_sides(sides, len(common))._replace(cut=True)


def _cut_at_turn(sides: tuple[str, str], turns: list["regex.Match[str]"], common: str) -> Parts:
    speakers = name_speakers(turns)
    if speakers != ["Human", "Assistant"]:
        raise Misfit(f"the turns written into its texts are {', '.join(speakers)}; expected Human, Assistant")
    parts = _cut_sides(sides, len(common) - len(common.lstrip()) + turns[-1].end())
    if any(list_turns(f"Human: {answer}")[1:] for answer in parts.answers):
        raise Misfit("more turns are written into chosen or rejected than one of the human and one of the assistant")
    return parts


def _cut_sides(sides: tuple[str, str], place: int) -> Parts:
    """Return the request before a place that both sides reach, and what each says behind it."""
    request, answers = sides[0][:place].strip(), tuple(side[place:].strip() for side in sides)
    if not request or not all(answers):
        raise Misfit("a turn in chosen or rejected is empty")
    return Parts(request, answers)


IMPLICIT = ("chosen", "rejected")
SPEAKERS = {"query", "prompt", "messages", "conversations", "instruction", "input", "question", "completion", "output"}
"""Keys that say something by role: beside chosen and rejected alone they must not go unread."""
SFT_FORMS = (
    Form("ours", ("query", "prompt"), _read_named("prompt")),
    Form("OpenAI's and VPO's", ("messages",), _read_chat("messages")),
    Form("LLaMA-Factory's sharegpt", ("conversations",), _read_chat("conversations")),
    Form("TRL's", ("prompt", "completion"), _read_answered("prompt", "completion")),
    Form("LLaMA-Factory's alpaca", ("instruction", "output"), _read_alpaca("output")),
)
DPO_FORMS = (
    Form("ours", ("query", "chosen", "rejected"), _read_named("chosen", "rejected")),
    Form("VPO's", ("messages", "chosen", "rejected"), _read_answered("messages", "chosen", "rejected")),
    Form("TRL's explicit", ("prompt", "chosen", "rejected"), _read_answered("prompt", "chosen", "rejected")),
    Form(
        "LLaMA-Factory's sharegpt", ("conversations", "chosen", "rejected"),
        _read_answered("conversations", "chosen", "rejected"),
    ),
    Form("LLaMA-Factory's alpaca", ("instruction", "chosen", "rejected"), _read_alpaca("chosen", "rejected")),
    Form(
        "OpenAI's", ("input", "preferred_output", "non_preferred_output"),
        _read_answered("input", "preferred_output", "non_preferred_output"),
    ),
    Form("TRL's implicit", IMPLICIT, _read_implicit),
)  # fmt: skip
