"""What the store holds of a request, and how it is read: raw, so that a better reading needs no new request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.llm.calls.hosts import finish_kind, read_error_message
from pipeline.llm.model_text import clean_reply
from schemas.reasons import Reason

MOST_TOKENS = 10**9
"""no answer has more: a server that says so is wrong, and nothing can be counted by its word"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of a completion: its text, or the typed reason why there is none that can be used."""

    text: str
    reason: Reason | None = None
    detail: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as the store keeps it, and its key; `why` is set instead when there is none."""

    key: str
    stored: Mapping[str, Any] | None = None
    why: str = ""


def find_fault(body: Any, n: int) -> str | None:
    """Return what is wrong with a completion that was asked for `n` choices, None for a sound one."""
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        return "a completion without choices"
    choices = body["choices"]
    if not all(isinstance(choice, dict) for choice in choices) or not all(
        isinstance(choice.get("message"), dict)
        or (choice.get("message") is None and finish_kind(choice.get("finish_reason")) == "blocked")
        for choice in choices
    ):
        return "a choice without a message"
    # the place of an only one says nothing, and some hosts leave it null
    if len(choices) != n or (
        n > 1 and sorted(str(choice.get("index", 0)) for choice in choices) != sorted(map(str, range(n)))
    ):
        return f"{len(choices)} choices, where {n} {'was' if n == 1 else 'were'} asked for"
    for choice in choices:
        message = choice.get("message") or {}
        for name, text in (("content", read_content(message)), ("refusal", message.get("refusal"))):
            if not isinstance(text, str | None):
                return f"a message whose {name} is not text"
            if text and not is_whole(text):
                return "text with half a character"
    return None


def read_content(message: Mapping[str, Any]) -> Any:
    """Return a message's text; of content in parts, as gateways to other vendors send it, the parts that are text."""
    content = message.get("content")
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return content
    texts = [part.get("text") for part in content if part.get("type") in ("text", "output_text", None)]
    return "".join(texts) if all(isinstance(text, str) for text in texts) else content


def is_whole(text: str) -> bool:
    """Return whether `text` has no half of a character that UTF-16 writes in two; no file and no row takes one."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def read_answers(stored: Mapping[str, Any]) -> list[Answer]:
    """Return the answers of a stored {status, body}, by their index."""
    body = stored["body"]
    if stored["status"] != 200:
        return [Answer("", Reason.CONTENT_FILTER, read_error_message(body), "")]
    choices = body["choices"]
    if len(choices) > 1:
        choices = sorted(choices, key=lambda choice: int(choice.get("index", 0)))
    model = body.get("model")
    return [_read_choice(choice, model if isinstance(model, str) and is_whole(model) else "") for choice in choices]


def _read_choice(choice: Mapping[str, Any], model: str) -> Answer:
    message, finish = choice.get("message") or {}, choice.get("finish_reason")
    text, ended = read_content(message) or "", finish_kind(finish)
    if message.get("refusal"):
        return Answer(text, Reason.REFUSED, message["refusal"], model)
    if ended == "blocked" or is_marked_filtered(choice.get("content_filter_results")):
        detail = "" if finish == "content_filter" else f"finish reason {finish}"
        return Answer(text, Reason.CONTENT_FILTER, detail, model)
    if ended == "cut":
        return Answer(text, Reason.TRUNCATED, f"cut after {len(text)} characters", model)
    if ended in ("odd", "interrupted"):
        return Answer(text, Reason.UNPARSED, f"finish reason {str(finish)[:60]}", model)
    if not clean_reply(text):
        return Answer(text, Reason.EMPTY, "nothing but thinking" if text.strip() else "", model)
    return Answer(text, None, "", model)


def is_marked_filtered(results: Any) -> bool:
    """Return whether one of Azure's filters took an answer's text away."""
    if not isinstance(results, Mapping):
        return False
    return any(isinstance(result, Mapping) and result.get("filtered") is True for result in results.values())


def read_usage(body: Any) -> tuple[int, int] | None:
    """Return (input tokens, output tokens), None where the server does not say."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    n_input, n_output = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if type(n_input) is not int or type(n_output) is not int:  # True is none
        return None
    return (n_input, n_output) if 0 <= min(n_input, n_output) and max(n_input, n_output) <= MOST_TOKENS else None
