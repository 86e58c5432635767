"""The ways in which an endpoint fails, and which of them a conversation meets."""

import hashlib
import json

from tests.support.llm_vendors import VENDORS, WRITTEN_OUT, vendor_failure, vendor_text

FAULTS = ("500", "502", "429", "reset", "cut", "empty", "length", "refusal", "content_filter", "no_choices")
ALL_FAULTS = (
    *FAULTS, "429_bare", "hang", "cut_short", "bad_utf8", "refusal_text", "content_filter_azure", "two_choices",
)  # fmt: skip
LASTING = {
    "empty",
    "length",
    "refusal",
    "refusal_text",
    "content_filter",
    "content_filter_azure",
    "two_choices",
    "html",
    *VENDORS,
}
"""faults that are the model's answer to this conversation, so that they come again"""
UNSENT = {"reset", "hang", "cut_short"}
"""faults without a whole response"""
UNREADABLE = UNSENT | {"cut", "bad_utf8", "nested", "html"}
"""faults whose usage the client cannot read"""
REFUSAL_TEXT = "I'm sorry, but I can't help with that."


def conversation_id(text: str, seed: int = 0) -> str:
    """Return the name under which the log knows a conversation; `text` is json.dumps(messages)."""
    return _digest(text, seed).hex()[:16]


def fault_of(text: str, share: float, seed: int = 0, faults=FAULTS) -> str | None:
    """Return the fault that this conversation meets, the same every time."""
    return fault_by(_digest(text, seed), share, faults)


def _digest(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{text}".encode()).digest()


def fault_by(digest: bytes, share: float, faults) -> str | None:
    draw = int.from_bytes(digest[:8], "big") / 2**64
    return faults[digest[8] % len(faults)] if draw < share else None


def comes(fault: str, digest: bytes, before: int) -> bool:
    """Return whether `fault` comes again after `before` times: a lasting one always, others once or twice."""
    return fault in LASTING or fault.startswith(WRITTEN_OUT) or before < 1 + digest[9] % 2


def failure(fault: str) -> tuple[int, bytes, str, dict] | None:
    """Return (status, body, content type, headers) of a fault that is no completion, None where it is one."""
    if fault == "500":
        return _error(500, {"message": "boom"})
    if fault == "502":
        return 502, b"<html>Bad Gateway</html>", "text/html", {}
    if fault == "html":
        return 200, b"<html>Welcome</html>", "text/html", {}
    if fault == "nested":  # more than a parser can follow
        return 200, b"[" * 200_000, "application/json", {}
    if fault == "429":
        return _error(429, {"message": "slow down"}, {"retry-after-ms": "10"})
    if fault == "429_bare":
        return _error(429, {"message": "slow down"})
    if fault == "content_filter":
        return _error(400, {"message": "blocked by policy", "code": "content_filter"})
    if fault == "content_filter_azure":
        result = {"violence": {"filtered": True, "severity": "medium"}}
        return _error(400, {
            "message": "The response was filtered", "type": None, "param": "prompt", "code": "content_filter",
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result},
        })  # fmt: skip
    return vendor_failure(fault)


def _error(status: int, error: dict, headers=None) -> tuple[int, bytes, str, dict]:
    return status, json.dumps({"error": error}).encode(), "application/json", headers or {}


def completion(fault: str | None, model: str, texts: list[str], usage: dict, snapshot: str = "snapshot") -> bytes:
    """Return the body of a chat completion with a choice for each text, as `fault` spoils it."""
    finish, refusal = "stop", None
    if fault == "empty":
        texts = [""] * len(texts)
    elif fault == "length":
        texts, finish = ["[[start]] a dog"] * len(texts), "length"
    elif fault == "refusal":
        texts, refusal = [""] * len(texts), "I can not help with that."
    elif fault == "refusal_text":
        texts = [REFUSAL_TEXT] * len(texts)
    elif fault == "two_choices":
        texts = [*texts, f"{texts[-1]} The other choice."]
    elif fault in VENDORS or (fault or "").startswith(WRITTEN_OUT):
        good = texts[0].replace("[[start]]", "").replace("[[end]]", "").strip()
        finish, text = vendor_text(fault, good)
        texts = [text]
    elif fault == "no_choices":
        texts = []
    body = json.dumps({
        "id": "half \ud83d" if fault == "half" else "x",
        "object": "chat.completion", "created": 0, "model": f"{model}-{snapshot}",
        "choices": [
            {"index": number, "finish_reason": finish, "logprobs": None,
             "message": {"role": "assistant", "content": text, "refusal": refusal}}
            for number, text in enumerate(texts)
        ],
        "usage": None if fault == "no_usage" else usage,
    }).encode()  # fmt: skip
    if fault == "cut":
        return body[: body.index(b'"message"') + 5]
    if fault == "bad_utf8":
        return body.replace(b'"content": "', b'"content": "\xff\xfe', 1)
    return body
