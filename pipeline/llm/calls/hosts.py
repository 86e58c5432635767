"""What hosts mean that speak the OpenAI API each in its own words: filtered content, no money, no answer for a reason.

Codes and words are those of OpenAI, Azure, Zhipu, DashScope, DeepSeek, Moonshot, MiniMax, Ark, SiliconFlow, OpenRouter,
Gemini and of gateways to Anthropic, as their documentation and error bodies have them.
"""

from collections.abc import Mapping
from typing import Any

import regex

FILTERED = {
    "content_filter", "content_policy_violation", "responsibleaipolicyviolation", "1301", "data_inspection_failed",
    "datainspectionfailed", "sensitivecontentdetected", "inputtextsensitivecontentdetected",
    "outputtextsensitivecontentdetected", "content_moderation", "moderation_blocked", "prohibited_content",
    "invalid_prompt", "1026", "1027",
}  # fmt: skip
"""codes and types, in lower case; `invalid_prompt` is OpenAI's for reasoning models"""
FILTER_WORDS = regex.compile(
    r"content exists risk|inappropriate content|content filter"
    r"|(?:unsafe|sensitive|harmful|prohibited) (?:or \w+ )?content"
    r"|content[ _]management policy|content policy|usage polic|data inspection|safety system|was flagged|flagged for"
    r"|responsible ?ai|blocked by (?:the )?(?:safety|content)|moderation|敏感|违规内容|不安全|不合规",
    regex.I,
)
FILTER_STATUSES = {400, 403, 422, 451}

UNPAID = {
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "1113", "arrearage", "overdue",
    "insufficient_balance", "insufficient_user_quota", "exceeded_current_quota_error", "accountoverdueerror",
    "insufficient_credits", "payment_required", "billing_error", "30001", "1008",
}  # fmt: skip
UNPAID_WORDS = regex.compile(
    r"insufficient (?:\w+ )?(?:balance|quota|credits?|funds)|credit balance|out of credits?|requires more credits"
    r"|balance is (?:used up|not enough|insufficient|too low|empty|exhausted)|(?:account|your) balance\b"
    r"|arrear|overdue|prepay\w* credits|account (?:\S+ ){0,6}(?:suspended|deactivated|in good standing)|余额|欠费|充值",
    regex.I,
)
NO_ACCESS = {"invalid_api_key", "api_key_invalid", "authentication_error", "permission_denied", "1110", "1111", "1112"}
NO_ACCESS_WORDS = regex.compile(r"api key not valid|location is not supported|model (?:\S+ )?does not exist", regex.I)

FINISHED = {"stop", "stop_sequence", "end_turn", "eos", "eos_token", "finish", "completed", "complete", "done"}
"""finish reasons of an answer that ended by itself, in lower case"""
CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
BLOCKED = {
    "content_filter", "sensitive", "safety", "prohibited_content", "blocklist", "recitation", "spii", "refusal",
    "image_safety", "guardrail_intervened", "content_filtered", "risk_control", "moderation",
}  # fmt: skip
INTERRUPTED = {"network_error", "error", "abort", "aborted", "cancelled", "timeout", "insufficient_system_resource"}
"""finish reasons of an answer that the host did not finish and may finish at the next try"""


def read_error(body: Any) -> Mapping[str, Any]:
    """Return the error in a body: its object `error`, the body itself, or of a list its first; {} for none."""
    if isinstance(body, list):
        return read_error(body[0]) if body else {}
    if not isinstance(body, Mapping):
        return {"message": body} if body else {}
    error = body.get("error", body)
    return error if isinstance(error, Mapping) else {"message": error}


def read_error_message(body: Any) -> str:
    """Return the server's own words of an error body: {"error": {"message": ...}}, {"message": ...}, or text."""
    error = read_error(body)
    words = error.get("message") or error.get("msg") or error.get("error_msg") or error.get("detail")
    return words if isinstance(words, str) else str(words or "")


def read_codes(body: Any) -> set[str]:
    """Return what names the kind of an error, in lower case: code, type, status and reason, also one level below."""
    error = read_error(body)
    codes = {str(error.get(name) or "").lower() for name in ("code", "type", "status", "reason", "error_code")}
    for detail in error.get("details") or ():  # Google's
        if isinstance(detail, Mapping):
            codes.add(str(detail.get("reason") or "").lower())
    return codes - {""}


def is_filtered(status: int, body: Any) -> bool:
    """Return whether an error is the host's judgement of this text alone, which it would pass again."""
    if status not in FILTER_STATUSES or is_unpaid(status, body):
        return False
    if status == 451 or read_codes(body) & FILTERED:
        return True
    error = read_error(body)
    if "content_filter" in str(error.get("innererror")) or "flagged_input" in str(error.get("metadata")):
        return True
    return bool(FILTER_WORDS.search(read_error_message(body)))


def is_unpaid(status: int, body: Any) -> bool:
    """Return whether the account has no money: no request will do before somebody pays."""
    return status == 402 or bool(read_codes(body) & UNPAID or UNPAID_WORDS.search(read_error_message(body)))


def is_locked_out(status: int, body: Any) -> bool:
    """Return whether key, account, model or address are wrong, whatever is asked."""
    if status in (401, 403, 404) or read_codes(body) & NO_ACCESS:
        return True
    return status == 400 and bool(NO_ACCESS_WORDS.search(read_error_message(body)))


def read_block(body: Any) -> str | None:
    """Return why a body of status 200 holds no choice though the host has decided: Gemini's, MiniMax's; else None."""
    if not isinstance(body, Mapping) or body.get("choices"):
        return None
    feedback = body.get("promptFeedback") or body.get("prompt_feedback")
    if isinstance(feedback, Mapping) and (reason := feedback.get("blockReason") or feedback.get("block_reason")):
        return str(reason)
    base = body.get("base_resp")
    if isinstance(base, Mapping) and str(base.get("status_code")) in FILTERED:
        return str(base.get("status_msg") or base.get("status_code"))
    if "error" in body and is_filtered(400, body):
        return read_error_message(body)
    return None


def read_unpaid(body: Any) -> str | None:
    """Return the words of a body of status 200 that says the account has no money, None for any other."""
    if not isinstance(body, Mapping) or body.get("choices"):
        return None
    base = body.get("base_resp")
    if isinstance(base, Mapping) and str(base.get("status_code")) in UNPAID:
        return str(base.get("status_msg") or base.get("status_code"))
    return read_error_message(body) if "error" in body and is_unpaid(200, body) else None


def find_interruption(body: Any) -> str | None:
    """Return the finish reason of a choice that the host broke off, None where there is none."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    for choice in choices if isinstance(choices, list) else ():
        word = choice.get("finish_reason") if isinstance(choice, Mapping) else None
        if isinstance(word, str) and word.lower() in INTERRUPTED:
            return word
    return None


def finish_kind(finish: Any) -> str:
    """Return how an answer ended: finished, cut, blocked or odd (a word of nobody's list, such as network_error).

    A host that does not say counts as finished.
    """
    word = str(finish or "stop").lower()
    word = word.partition(":")[0].strip()  # "content_filter: PROHIBITED_CONTENT"
    kinds = {"finished": FINISHED, "cut": CUT, "blocked": BLOCKED}
    return next((kind for kind, words in kinds.items() if word in words), "odd")
