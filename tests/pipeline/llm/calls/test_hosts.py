import pytest

from pipeline.llm.calls.hosts import (
    find_interruption,
    finish_kind,
    is_error,
    is_filtered,
    is_locked_out,
    is_unpaid,
    read_block,
    read_codes,
    read_error_message,
    read_stop,
)
from tests.pipeline.llm.calls.test_endpoint import endpoint as endpoint

FILTERED = [
    (400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
    (400, {"error": {"code": "1301", "message": "unsafe or sensitive content was detected"}}),
    (400, {"error": {"message": "Input data may contain inappropriate content.", "type": "data_inspection_failed"}}),
    (400, {"error": {"message": "<400> InternalError.Algo.DataInspectionFailed", "code": "DataInspectionFailed"}}),
    (400, {"error": {"message": "Content Exists Risk", "code": "invalid_request_error"}}),
    (400, {"error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}}),
    (403, {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"flagged_input": "a"}}}),
    (400, [{"error": {"code": 400, "message": "blocked", "status": "PROHIBITED_CONTENT"}}]),
    (451, {"message": "unavailable"}),
    (500, {"error": {"code": "1301", "message": "sensitive"}}),
    (400, {"error": {"code": "SensitiveContentDetected.Violence", "message": "the input text is not allowed"}}),
    (400, {"error": {"message": "The request failed because the input text may contain sensitive information."}}),
    (400, {"error": {"message": "The request was rejected because it was considered high risk"}}),
    (400, {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
    (400, {"error_code": 336104, "error_msg": "the input content is unsafe"}),
    (400, {"error": {"code": 10013, "message": "输入内容审核不通过，涉嫌违规"}}),
    (400, {"error": {"message": "Request blocked by guardrails: NSFW content detected"}}),
    (403, {"error": {"code": "content_violation", "message": "not allowed"}}),
]  # fmt: skip
STOPPED = [
    (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}),
    (429, {"error": {"code": "1113", "message": "account balance is used up"}}),
    (400, {"error": {"code": "Arrearage", "message": "Access denied, make sure your account is in good standing."}}),
    (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to use the API."}}),
    (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
    (400, [{"error": {"code": 400, "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}}]),
    (429, {"error": {"message": "You exceeded your current quota, please check your plan and billing details."}}),
    (429, {"error": {"code": "1304", "message": "今日调用次数限额已达"}}),
    (429, {"error": {"code": "QuotaExceeded", "message": "Your account has reached its monthly spending limit"}}),
    (403, {"error": {"code": "AllocationQuota.FreeTierOnly", "message": "The free tier has been exhausted."}}),
    (400, {"error": {"type": "budget_exceeded", "message": "Budget has been exceeded! Max budget: 10"}}),
    (400, {"error": {"code": "1211", "message": "Unknown Model, please check the model code."}}),
    (405, {"message": "Method Not Allowed"}),
    (400, {"error": {"message": "Your account has been blocked due to a breach of our usage policies"}}),
    (403, {"error": {"message": "Your organization has been disabled for violating our usage policy"}}),
    (403, {"error": {"message": "Your country is blocked by our usage policies"}}),
    (400, {"error": {"message": "This API key was suspended: moderation found abuse"}}),
    (400, {"error": {"message": "The account balance has been exhausted"}}),
]  # fmt: skip
OTHERS = [
    (400, {"error": {"message": "max_tokens is too large", "code": "invalid_request"}}, "rejected"),
    (429, {"error": {"code": "1302", "message": "too many requests at once"}}, "limited"),
    (429, [{"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}}],
     "limited"),
    (429, {"error": {"message": "Rate limit reached; add a payment method at https://platform.openai.com/account/billing",
           "code": "rate_limit_exceeded"}}, "limited"),
    (429, {"error": {"message": "Rate limit reached. Visit your account balance page"}}, "limited"),
    (400, {"error": {"message": "Unsupported parameter: moderation"}}, "rejected"),
    (400, {"error": {"message": "Unknown field 'guardrail'"}}, "rejected"),
    (400, {"error": {"message": "messages[0].content is required; see usage policies"}}, "rejected"),
    (400, {"error": {"message": "content filter must be one of on, off"}}, "rejected"),
    (400, {"error": {"message": "Invalid prompt: it was flagged as against our usage policy"}}, "answer"),
    (400, {"error": {"message": "The request from your account was blocked by our content filter"}}, "answer"),
    (500, {"error": {"message": "the safety system is away"}}, "transient"),
    (529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}, "transient"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), FILTERED)
def test_a_hosts_judgement_of_a_text_is_an_answer_with_its_words(endpoint, status, body):
    reply = endpoint().read_failure(status, body, {})
    assert (reply.kind, reply.status, reply.body["error"]["code"]) == ("answer", 400, "content_filter")
    assert reply.body["error"]["message"]


@pytest.mark.parametrize(("status", "body"), STOPPED)
def test_an_account_without_money_or_access_stops_with_the_hosts_words(endpoint, status, body):
    reply = endpoint().read_failure(status, body, {})
    words = body[0]["error"]["message"] if isinstance(body, list) else body.get("error", body)["message"]
    assert (reply.kind, reply.why) == ("stopped", f"{status}: {words}")


@pytest.mark.parametrize(("status", "body", "kind"), OTHERS)
def test_what_is_neither_stays_what_its_status_says(endpoint, status, body, kind):
    assert endpoint().read_failure(status, body, {}).kind == kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"choices": None, "promptFeedback": {"blockReason": "SAFETY"}}, "answer"),
        ({"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input sensitive"}}, "answer"),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "stopped"),
        ({"error": {"code": "1301", "message": "sensitive"}}, "answer"),
        ({"error": {"message": "Insufficient Balance"}}, "stopped"),
        ({"choices": [{"finish_reason": "content_filter: PROHIBITED_CONTENT"}]}, "answer"),
        ({"choices": [{"finish_reason": "network_error", "message": {"content": "A d"}}]}, "transient"),
        ({"choices": [{"finish_reason": "stop", "message": {"content": [{"type": "text", "text": "A"}]}}]}, "answer"),
        ({"choices": []}, "transient"),
        ({"choices": None, "input_sensitive": True, "base_resp": {"status_code": 0}}, "answer"),
        ({"choices": [{"finish_reason": "error", "error": {"code": 403, "message": "PROHIBITED_CONTENT"}}]}, "answer"),
        ({"code": "Arrearage", "message": "overdue"}, "stopped"),
        ({"code": 401, "msg": "bad key"}, "stopped"),
        ({"base_resp": {"status_code": 1004, "status_msg": "no login"}}, "stopped"),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "transient"),
        ({"choices": [{"index": None, "finish_reason": "stop", "message": {"content": "A"}}]}, "answer"),
    ],
)  # fmt: skip
def test_a_body_of_status_200_is_read_as_what_the_host_means(endpoint, body, kind):
    assert endpoint().read_completion(200, body, {}, 1).kind == kind


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        (None, "finished"), ("stop", "finished"), ("STOP", "finished"), ("end_turn", "finished"), ("length", "cut"),
        ("MAX_TOKENS", "cut"), ("sensitive", "blocked"), ("SAFETY", "blocked"), ("contentFilter", "blocked"),
        ("content-filter", "blocked"), ("safety_block", "blocked"), ("FINISH_REASON_MAX_TOKENS", "cut"),
        ("network_error", "interrupted"), ("server_error", "interrupted"), ("foo", "odd"), ("tool_calls", "odd"),
        (5, "odd"), (["stop"], "odd"),
    ],
)  # fmt: skip
def test_a_finish_reason_is_of_one_kind(finish, kind):
    assert finish_kind(finish) == kind


@pytest.mark.parametrize(
    ("body", "words", "codes"),
    [
        (None, "", set()),
        ([], "", set()),
        ("a text", "a text", set()),
        ({"error": "a text"}, "a text", set()),
        ({"error": {"message": "w", "code": "A", "type": "B"}}, "w", {"a", "b"}),
        ({"msg": "w", "status": "S", "reason": "R", "error_code": 7}, "w", {"s", "r", "7"}),
        ([{"error": {"error_msg": "w"}}, {"error": {"message": "x"}}], "w", set()),
        ({"detail": [1]}, "[1]", set()),
        ({"error": {"details": [{"reason": "D"}, "x"], "message": "w"}}, "w", {"d"}),
        ({"base_resp": {"status_code": 1004, "status_msg": ""}}, "1004", {"invalid_api_key"}),
        ({"base_resp": {"status_code": 1002, "status_msg": "w"}}, "w", {"rate_limit"}),
        ({"base_resp": {"status_code": 1002}, "error": {"message": "w", "code": 1}}, "w", {"1"}),
    ],
)
def test_the_words_and_the_codes_of_an_error_are_found_in_every_shape(body, words, codes):
    assert (read_error_message(body), read_codes(body)) == (words, codes)


@pytest.mark.parametrize(
    "code",
    "1301 1026 1027 10013 10014 10019 336104 invalid_prompt NSFW content_policy_violation ContentFilter risk_control "
    "safety_block responsible_ai guardrail_x".split(),
)
def test_each_code_of_a_filter_is_one_also_where_the_server_fails(code):
    error = {"error": {"code": code, "message": "no"}}
    assert is_filtered(400, error) and is_filtered(500, error) and not is_filtered(429, error)


@pytest.mark.parametrize(
    "code",
    "insufficient_quota 1113 arrearage 30001 1008 1304 1308 1309 1310 billing_not_active payment_required "
    "budget_exceeded 402".split(),
)
def test_each_code_of_an_empty_account_is_one_and_is_no_filter(code):
    assert is_unpaid(400, {"error": {"code": code.upper(), "message": "content filter"}})
    assert not is_filtered(400, {"error": {"code": code, "message": "content filter"}})


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 300, 302, 399])
def test_a_status_of_no_access_is_one_whatever_it_says(status):
    assert is_locked_out(status, None)


@pytest.mark.parametrize(("status", "locked"), [(200, True), (400, True), (402, False), (422, False), (500, False)])
def test_words_of_no_access_count_where_no_status_says_more(status, locked):
    assert is_locked_out(status, {"error": {"message": "unknown model"}}) == locked
    assert is_locked_out(status, {"error": {"code": "401", "message": "x"}})
    assert not is_locked_out(status, {"error": {"message": "x"}})


def test_a_plan_that_is_to_be_checked_is_an_empty_account_but_at_google():
    words = "check your plan and billing"
    assert is_unpaid(429, {"error": {"message": words}})
    assert not is_unpaid(429, {"error": {"message": words, "status": "RESOURCE_EXHAUSTED"}})
    assert not is_unpaid(429, {"error": {"message": f"rate limit: {words}"}})
    assert is_unpaid(400, {"error": {"message": f"rate limit: {words}"}})


def test_the_reason_of_a_block_is_told_in_the_hosts_words():
    assert read_block({"output_sensitive": True, "base_resp": {"status_code": 0, "status_msg": "sad"}}) == "sad"
    assert read_block({"input_sensitive": True}) == "sensitive"
    assert read_block({"prompt_feedback": {"block_reason": "OTHER"}}) == "OTHER"
    assert read_block({"choices": [{}], "promptFeedback": {"blockReason": "SAFETY"}}) is None
    assert read_block({"code": "1301"}) == "filtered" and read_block([]) is None and read_block({"id": 1}) is None
    assert read_block({"choices": [5, {"error": {"code": "1301", "message": "w"}}]}) == "w"


def test_an_account_of_no_use_is_told_only_without_an_answer():
    assert read_stop({"code": "Arrearage"}) == "no words" and read_stop({"code": "Arrearage", "choices": [1]}) is None
    assert read_stop({"message": "overdue"}) is None and read_stop("x") is None and read_stop({"code": "x"}) is None
    assert find_interruption({"choices": [{"finish_reason": "stop"}, {"finish_reason": "abort"}]}) == "abort"
    assert find_interruption({"choices": [{"finish_reason": "stop"}]}) is None


@pytest.mark.parametrize("name", ["error", "code", "error_code", "base_resp"])
def test_a_body_with_one_of_four_names_tells_of_an_error(name):
    assert is_error({name: 1}) and not is_error({"message": 1})
