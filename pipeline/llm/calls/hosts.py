"""What hosts mean that speak the OpenAI API each in its own words: filtered content, no money, no answer for a reason.

Codes and words are those of OpenAI, Azure, Zhipu, DashScope, DeepSeek, Moonshot, MiniMax, Ark, SiliconFlow, OpenRouter,
Gemini and of gateways to Anthropic, as their documentation and error bodies have them.
"""

from collections.abc import Mapping
from typing import Any

import regex

FILTERED = {
    "1301", "1026", "1027", "10013", "10014", "10019", "336104", "invalid_prompt",
}  # fmt: skip
"""codes, in lower case: of OpenAI for reasoning models, and the numbers of Zhipu, MiniMax, iFlytek and Baidu"""
FILTER_CODE = regex.compile(
    r"content_?(?:filter|policy|moderation|violation|safety|blocked)|sensitive|data_?inspection|moderation_blocked"
    r"|prohibited_?content|responsible_?ai|safety_(?:filter|block|system)|risk_?control|nsfw|guardrail"
)
FILTER_WORDS = regex.compile(
    r"content exists risk|inappropriate content|content filter|high risk\b|risk control|\bnsfw\b"
    r"|(?:unsafe|sensitive|harmful|prohibited|illegal) (?:or \w+ )?(?:content|information|words?)|prohibited_content"
    r"|(?:content|input|output|prompt|text)\b[^.\n]{0,20} (?:is|was|are) (?:considered )?(?:unsafe|sensitive"
    r"|inappropriate"
    r"|harmful|illegal)\b|content[ _]management polic|content polic|usage polic|data ?inspection|safety (?:system"
    r"|filter)"
    r"|was flagged|flagged for|responsible ?ai|new_sensitive|guardrail|content (?:audit|violation|review)"
    r"|blocked by (?:the |our )?(?:safety|content|guard)|moderation|敏感|违规|不安全|不合规|内容安全|风控|审核不通过"
    r"|审核未通过",
    regex.I,
)
BLOCKED_ACCOUNT = regex.compile(
    r"(?<!from )(?<!of )(?:your|this|the) (?:\w+ ){0,2}(?:account|organi[sz]ation|workspace|project|team"
    r"|api[ _]key|access"
    r"|country|region|territory|location|ip(?: address)?|subscription)(?: \S+){0,3}?"
    r" (?:is|are|was|were|has been|have been|has|been)(?: \w+){0,2}?"
    r" (?:blocked|disabled|suspended|banned|deactivated|terminated|restricted|revoked|locked|closed|denied|flagged"
    r"|not (?:supported|allowed|available|permitted)|unsupported)\b"
    r"|(?<!from your )(?<!from this )(?<!from the )\b(?:account|organi[sz]ation|project"
    r"|api[ _]key)\b[^.\n]{0,20} (?:has been|is|was) (?:blocked|disabled|suspended|banned"
    r"|deactivated|terminated|restricted|revoked)"
    r"|(?:账号|账户|帐号|帐户)[^。\n]{0,10}(?:封禁|禁用|冻结|停用|限制)",
    regex.I,
)
"""of an account, a key or a country that is shut out, be it for a policy: no request will pass"""
OF_A_PARAMETER = regex.compile(
    r"\b(?:unsupported|unknown|unrecogni[sz]ed|unexpected|missing|extra|deprecated|invalid|duplicate)"
    r" (?:\S+ ){0,2}(?:parameters?|fields?|arguments?|propert(?:y|ies)|keys?|options?|headers?|keyword|inputs? are)\b"
    r"|\b(?:is|are) (?:a )?required\b|\brequired (?:parameter|field|property)|extra inputs are not permitted"
    r"|\bis not (?:a valid|supported|recogni[sz]ed|enabled|available)\b|\bmust be (?:an? |one of |either )"
    r"|does not support|not (?:a )?(?:supported|valid) (?:parameter|field|option)",
    regex.I,
)
"""of a request that is badly written: the words of a filter may be the name of what is wrong in it"""
OF_NO_TEXT = {401, 402, 404, 405, 408, 409, 429}
"""statuses that no host gives for what a text holds"""

UNPAID = {
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "1113", "arrearage", "overdue",
    "insufficient_balance", "insufficient_user_quota", "exceeded_current_quota_error", "accountoverdueerror",
    "insufficient_credits", "payment_required", "billing_error", "30001", "1008", "budget_exceeded",
    "pre_consume_token_quota_failed", "allocationquota.freetieronly", "1304", "1308", "1309", "1310",
}  # fmt: skip
"""codes of an account that is empty or has had its day's share (Zhipu's 1304 to 1310), in lower case"""
UNPAID_WORDS = regex.compile(
    r"insufficient (?:\w+ )?(?:balance|quota|credits?|funds)|credit balance|(?:out of|no) credits?\b"
    r"|requires more credits"
    r"|balance (?:is |was |has been )?(?:\w+ )?(?:used up|not enough|insufficient|low|empty|exhausted|depleted|negative"
    r"|zero|ran out|run out|overdrawn)"
    r"|arrear|overdue|prepay\w* credits|account (?:\S+ ){0,6}(?:suspended|deactivated|in good standing)"
    r"|(?:spending|usage|billing) limit|budget has been exceeded|quota is not enough|resource package"
    r"|(?:daily|weekly|monthly) (?:\w+ ){0,3}(?:limit|quota)\b[^.\n]{0,20}(?:reached|exceeded|used up)"
    r"|余额|欠费|充值|限额已达|额度不足|使用上限",
    regex.I,
)
RATE_WORDS = regex.compile(
    r"rate[ _-]?limit|too many requests|(?:requests|tokens) per (?:second|minute|min)\b", regex.I
)
"""of a 429 that passes by itself, whatever page about money it names beside"""
PLAN_WORDS = regex.compile(r"check your plan and billing", regex.I)
"""OpenAI's of an empty account; Google says the same of a minute's limit, with RESOURCE_EXHAUSTED"""
NO_ACCESS = {
    "invalid_api_key", "api_key_invalid", "authentication_error", "permission_denied", "1110", "1111", "1112", "1211",
    "1220", "1221", "1222", "model_not_found", "invalid_token",
}  # fmt: skip
NO_ACCESS_WORDS = regex.compile(
    r"api[ _]key (?:\S+ ){0,2}(?:not valid|invalid|incorrect)|location is not supported"
    r"|model (?:\S+ )?(?:does )?not (?:exist|found)"
    r"|unknown model|no such model|authori[sz]ation token|unauthori[sz]ed|模型不存在|无权|身份验证|鉴权",
    regex.I,
)
OF_BASE_RESP = {"1004": "invalid_api_key", "2049": "invalid_api_key", "1002": "rate_limit", "1039": "rate_limit"}
"""MiniMax's numbers, which mean other things at Zhipu"""

FINISHED = {"stop", "stop_sequence", "end_turn", "eos", "eos_token", "finish", "completed", "complete", "done"}
"""finish reasons of an answer that ended by itself, in lower case"""
CUT = regex.compile(r"length|max_(?:\w+_)?tokens?|token_limit|context_window")
BLOCKED = regex.compile(
    r"content_?filter|sensitive|safety|prohibit|blocklist|block(?:ed)?\b|recitation|spii|refus|guardrail|moderat"
    r"|polic|violat"
    r"|risk"
)
INTERRUPTED = regex.compile(
    r"error|abort|cancel|time_?out|timed_out|insufficient_system_resource|preempt|overload|interrupt|failed"
)
"""of an answer that the host did not finish and may finish at the next try"""


def read_error(body: Any) -> Mapping[str, Any]:
    """Return the error in a body: its object `error`, the body itself, or of a list its first; {} for none.

    MiniMax's stands in `base_resp`.
    """
    if isinstance(body, list):
        return read_error(body[0]) if body else {}
    if not isinstance(body, Mapping):
        return {"message": body} if body else {}
    if isinstance(base := body.get("base_resp"), Mapping) and "error" not in body:
        code = str(base.get("status_code") or "")
        return {"code": OF_BASE_RESP.get(code, code), "message": base.get("status_msg") or code}
    error = body.get("error") or body
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
    words = read_error_message(body)
    if status in OF_NO_TEXT or is_unpaid(status, body) or BLOCKED_ACCOUNT.search(words):
        return False
    codes = read_codes(body)
    if status == 451 or codes & FILTERED or any(FILTER_CODE.search(code) for code in codes):
        return True
    if status >= 500:  # words alone may be about anything there
        return False
    error = read_error(body)
    if "content_filter" in str(error.get("innererror")) or "flagged_input" in str(error.get("metadata")):
        return True
    return bool(FILTER_WORDS.search(words)) and not OF_A_PARAMETER.search(words)


def is_unpaid(status: int, body: Any) -> bool:
    """Return whether the account has no money: no request will do before somebody pays, or before the next day."""
    codes, words = read_codes(body), read_error_message(body)
    if status == 402 or "402" in codes or codes & UNPAID:
        return True
    if status == 429 and RATE_WORDS.search(words):
        return False
    if UNPAID_WORDS.search(words):
        return True
    return bool(PLAN_WORDS.search(words)) and "resource_exhausted" not in codes


def is_locked_out(status: int, body: Any) -> bool:
    """Return whether key, account, model or address are wrong, whatever is asked."""
    codes = read_codes(body)
    if status in (401, 403, 404, 405, 410) or 300 <= status < 400 or codes & (NO_ACCESS | {"401"}):
        return True
    words = read_error_message(body)
    return status in (200, 400) and bool(NO_ACCESS_WORDS.search(words) or BLOCKED_ACCOUNT.search(words))


def read_block(body: Any) -> str | None:
    """Return why a body of status 200 is no answer though the host has decided: Gemini's, MiniMax's; else None."""
    if not isinstance(body, Mapping):
        return None
    if body.get("input_sensitive") is True or body.get("output_sensitive") is True:
        return str(read_error_message(body) or "sensitive")
    for choice in _list_choices(body):
        error = choice.get("error")
        if error and is_filtered(400, {"error": error}):
            return read_error_message({"error": error})
    if body.get("choices"):
        return None
    feedback = body.get("promptFeedback") or body.get("prompt_feedback")
    if isinstance(feedback, Mapping) and (reason := feedback.get("blockReason") or feedback.get("block_reason")):
        return str(reason)
    return read_error_message(body) or "filtered" if is_error(body) and is_filtered(400, body) else None


def read_stop(body: Any) -> str | None:
    """Return the words of a body of status 200 that says that account or key are of no use, None for any other."""
    if not isinstance(body, Mapping) or body.get("choices") or not is_error(body):
        return None
    return read_error_message(body) or "no words" if is_unpaid(200, body) or is_locked_out(200, body) else None


def is_error(body: Mapping[str, Any]) -> bool:
    """Return whether a body without choices tells of an error."""
    return any(name in body for name in ("error", "code", "error_code", "base_resp"))


def _list_choices(body: Any) -> list[Mapping[str, Any]]:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    return [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []


def find_interruption(body: Any) -> str | None:
    """Return the finish reason of a choice that the host broke off, None where there is none."""
    words = [choice.get("finish_reason") for choice in _list_choices(body)]
    return next((str(word) for word in words if finish_kind(word) == "interrupted"), None)


def finish_kind(finish: Any) -> str:
    """Return how an answer ended: finished, cut, blocked, interrupted or odd (a word of nobody's list, a tool's call).

    A host that does not say counts as finished.
    """
    if finish is None or finish == "":
        return "finished"
    if not isinstance(finish, str):
        return "odd"
    word = finish.partition(":")[0].strip()  # "content_filter: PROHIBITED_CONTENT"
    word = regex.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z]+", "_", word).strip("_").lower().removeprefix("finish_reason_")
    kinds = {"blocked": BLOCKED, "interrupted": INTERRUPTED, "cut": CUT}
    return (
        "finished" if word in FINISHED else next((kind for kind, words in kinds.items() if words.search(word)), "odd")
    )
