"""What five vendors and others say when they do not simply answer, in their words: fault -> (status, body)."""

import json

FILTERS = {
    "zhipu": (400, {"error": {"code": "1301", "message": "unsafe or sensitive content was detected"}}),
    "dashscope": (400, {"error": {"code": "data_inspection_failed", "message": "Input may be inappropriate content."}}),
    "deepseek": (400, {"error": {"code": "invalid_request_error", "message": "Content Exists Risk"}}),
    "gemini": (200, {"choices": None, "promptFeedback": {"blockReason": "SAFETY"}}),
    "anthropic": (400, {"error": {"type": "invalid_request_error", "message": "Output blocked by content filtering"}}),
    "minimax": (
        200,
        {"choices": None, "input_sensitive": True, "base_resp": {"status_code": 1026, "status_msg": "new"}},
    ),
    "ark": (400, {"error": {"code": "OutputTextSensitiveContentDetected.Severe", "message": "not shown"}}),
    "kimi": (400, {"error": {"type": "content_filter", "message": "The request was considered high risk"}}),
}
BALANCES = {
    "zhipu": (429, {"error": {"code": "1113", "message": "account balance is used up"}}),
    "dashscope": (400, {"error": {"code": "Arrearage", "message": "make sure your account is in good standing"}}),
    "deepseek": (402, {"error": {"code": "invalid_request_error", "message": "Insufficient Balance"}}),
    "gemini": (429, [{"error": {"code": 429, "message": "Your prepayment credits are depleted"}}]),
    "anthropic": (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}),
    "minimax": (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
    "zhipu_of_a_day": (429, {"error": {"code": "1304", "message": "no more calls to-day"}}),
    "openai": (429, {"error": {"message": "You exceeded your current quota, please check your plan and billing"}}),
}
DRAFT = "[[start]] a bad draft [[end]]"
ODD = {
    "sensitive": ("sensitive", DRAFT),
    "safety": ("SAFETY", DRAFT),
    "foreign_finish": ("foo", DRAFT),
    "think_only": ("stop", f"<think>Draft: {DRAFT} hmm, not final"),
    "refusal_marked": ("stop", "[[start]] I'm sorry, but I can't assist with that. [[end]]"),
    "garbled": ("stop", "[[start]] a bad \ufffd dr\ufffdft [[end]]"),
    "network_error": ("network_error", DRAFT),
    "server_error": ("server_error", DRAFT),
    "filter_in_another_spelling": ("contentFilter", DRAFT),
    "chatter": ("stop", "[[start]] I'd be happy to help you with your video! [[end]]"),
    "refusal_in_german": ("stop", "Es tut mir leid, aber dabei kann ich nicht helfen."),
    "template": ("stop", "[[start]] <video_spec>a bad draft</video_spec_v2> [[end]]"),
    "json_of_two": ("stop", '[[start]] {"a": "a bad draft", "b": "another"} [[end]]'),
}
"""fault -> (finish reason, content): answers of status 200 that are none"""
RESIDUE = {
    "thinks_first": "<think>\nDraft: {bad}\n</think>\n\n[[start]] {good} [[end]]",
    "labelled": "[[start]] **Video Prompt:** {good} [[end]]",
    "turns": "[[start]] {good} [[end]]<|im_end|><|im_start|>user\n{bad}",
    "other_tokens": "<start_of_turn>model\n[[start]] {good} [[end]]<end_of_turn><eos>",
    "repeats_the_conversation": "<|user|>\n{bad}<|assistant|>\n[[start]] {good} [[end]]",
    "json": '[[start]] {{"video_prompt": "{good}"}} [[end]]',
    "notes": "[[start]] Video prompt\n{good}\n\nNote: I kept it short. [[end]]",
}
"""fault -> an answer with a good prompt in what is no part of it"""
VENDORS = tuple(
    [f"filter:{name}" for name in FILTERS] + [f"odd:{name}" for name in ODD] + [f"residue:{name}" for name in RESIDUE]
)


WRITTEN_OUT = ("status:", "finish:")
"""beginnings of faults that hold, as JSON, their own (status, body) or (finish reason, content)"""


def vendor_failure(fault: str | None) -> tuple[int, bytes, str, dict] | None:
    """Return the whole response of a fault that is no completion, None for any other."""
    kind, _, name = (fault or "").partition(":")
    if kind == "status":
        status, body = json.loads(name)
        return status, json.dumps(body).encode(), "application/json", {}
    bodies = {"filter": FILTERS, "balance": BALANCES}.get(kind)
    if bodies is None:
        return None
    status, body = bodies[name]
    return status, json.dumps(body).encode(), "application/json", {}


def vendor_text(fault: str | None, good: str) -> tuple[str, str]:
    """Return (finish reason, content) of a completion that a fault spoils; `good` is the prompt in it."""
    kind, _, name = (fault or "").partition(":")
    if kind == "odd":
        return ODD[name]
    if kind == "finish":
        finish, content = json.loads(name)
        return finish, content
    if kind == "residue":
        return "stop", RESIDUE[name].format(good=good, bad=DRAFT)
    return "stop", f"[[start]] {good} [[end]]"
