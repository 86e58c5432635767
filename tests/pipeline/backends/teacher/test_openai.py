import json

import pytest

from pipeline.backends.teacher.openai import OpenAI
from pipeline.llm.answer_forms import PROMPT
from pipeline.llm.calls.endpoint import EndpointStopped
from pipeline.llm.calls.hosts import read_error_message
from pipeline.llm.replies import parse_prompt
from pipeline.runtime.store import Store
from tests.support.llm_echo import conversations, echo, parse
from tests.support.llm_server import fault_of, serving
from tests.support.llm_vendors import BALANCES, VENDORS, vendor_text
from tests.support.params import with_values

KEY = "sk-secret-of-the-test"
REASON_OF = {"empty": "empty", "length": "truncated", "refusal": "refused", "content_filter": "content_filter"}


@pytest.fixture
def teacher(laptop, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def make(server, **changes):
        params = with_values(
            laptop.teacher,
            **dict(backend="openai", model="m", base_url=server.base_url, attempts=3, timeout_s=60.0) | changes,
        )
        return OpenAI(params, Store(tmp_path / "store"))

    return make


def test_outcomes_come_in_input_order(teacher):
    with serving(echo) as server:
        outcomes = list(teacher(server).map(conversations(40), parse))
    assert [outcome.value for outcome in outcomes] == [f"QUERY {number}" for number in range(40)]
    assert outcomes[0].by.revision == "m-snapshot"


def test_an_answer_is_bought_once(teacher):
    with serving(echo) as server:
        once = list(teacher(server).map(conversations(20), parse))
        again = list(teacher(server, max_concurrency=3).map(reversed(conversations(21)), parse))
        assert len(server.requests) == 21
    assert again[::-1][:20] == once


def test_equal_questions_asked_side_by_side_are_bought_once(teacher):
    with serving(echo, delay_s=0.2) as server:
        outcomes = list(teacher(server, max_concurrency=8).map(conversations(1) * 8, parse))
        assert len(server.requests) == 1
    assert len({(outcome.value, outcome.by.store_key) for outcome in outcomes}) == 1


@pytest.mark.parametrize("change", [{"model": "other"}, {"temperature": 0.3}])
def test_what_the_answer_depends_on_is_asked_again(teacher, change):
    with serving(echo) as server:
        list(teacher(server).map(conversations(5), parse))
        list(teacher(server, **change).map(conversations(5), parse))
        assert len(server.requests) == 10


def test_a_template_that_sends_the_same_words_buys_nothing(teacher):
    with serving(echo) as server:
        list(teacher(server).map(conversations(5), parse, template="one"))
        (outcome, *_) = teacher(server).map(conversations(5), parse, template="two")
        assert len(server.requests) == 5
    assert outcome.by.template == "two"


def test_faults_end_as_an_answer_or_a_true_reason(teacher):
    asked = conversations(100)
    faults = (*REASON_OF, "500", "429", "cut")
    with serving(echo, fault_share=0.3, faults=faults) as server:
        outcomes = list(teacher(server, max_concurrency=32).map(asked, parse))
    for messages, outcome in zip(asked, outcomes, strict=True):
        fault = fault_of(json.dumps(messages), 0.3, 0, faults)
        if fault in REASON_OF:
            assert (outcome.value, outcome.reason) == (None, REASON_OF[fault]), fault
        else:
            assert outcome.value == messages[-1]["content"].upper()


def test_an_answer_that_cannot_be_parsed_is_asked_again_with_the_reason_and_then_set_aside(teacher):
    with serving(lambda model, messages: "nonsense") as server:
        (outcome,) = teacher(server, parse_attempts=3).map(conversations(1), parse)
        sent = [body["messages"] for body in server.requests]
    assert [len(messages) for messages in sent] == [1, 3, 5]
    assert sent[1][1] == {"role": "assistant", "content": "nonsense"}
    assert "no_query" in sent[1][2]["content"]
    assert (outcome.reason, outcome.detail) == ("unparsed", "no_query (3 answers)")


def test_the_second_answer_counts_where_the_first_cannot_be_read(teacher):
    with serving(lambda model, messages: "QUERY" if len(messages) > 1 else "nonsense") as server:
        (outcome,) = teacher(server).map(conversations(1), parse)
        assert len(server.requests) == 2
    assert outcome.value == "QUERY"


def test_a_refusal_in_plain_words_is_one_answer_and_typed(teacher):
    with serving(lambda model, messages: "I'm sorry, but I can't help with that.") as server:
        (outcome,) = teacher(server).map(conversations(1), parse_prompt)
        assert len(server.requests) == 1
    assert outcome.reason == "refused"


def test_the_key_travels_in_the_header_alone(teacher, tmp_path):
    with serving(echo) as server:
        list(teacher(server).map(conversations(3), parse))
        assert all(headers["authorization"] == f"Bearer {KEY}" for headers in server.headers)
        assert KEY not in json.dumps(server.requests)
    assert all(KEY.encode() not in path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())


def test_azure_is_asked_at_its_deployment_with_its_own_header(teacher):
    with serving(echo) as server:
        azure = teacher(server, base_url=server.base_url.removesuffix("/v1"), api_version="2024-10-21")
        (outcome,) = azure.map(conversations(1), parse)
        assert server.headers[0]["api-key"] == KEY
    assert outcome.value == "QUERY 0"


def test_an_endpoint_with_structured_output_is_given_the_schema(teacher):
    def answer(body):
        assert body["response_format"]["json_schema"]["name"] == "prompt"
        return '{"prompt": "a red dog"}'

    with serving(answer, by_body=True) as server:
        (outcome,) = teacher(server, response_format="json_schema").map(conversations(1), PROMPT)
        assert "JSON" in server.requests[0]["messages"][0]["content"]
    assert outcome.value == "a red dog"


def test_without_structured_output_the_markers_are_read_by_the_same_parser(teacher):
    with serving(lambda model, messages: "[[start]]a red dog[[end]]") as server:
        (outcome,) = teacher(server).map(conversations(1), PROMPT)
        assert "response_format" not in server.requests[0]
    assert outcome.value == "a red dog"


FIVE_VENDORS = (*VENDORS, "html", "500", "429", "cut", "empty", "length", "refusal", "refusal_text")
VENDOR_REASON = {
    "odd:foreign_finish": "unparsed", "odd:think_only": "empty", "odd:refusal_marked": "refused",
    "odd:garbled": "garbled", "odd:network_error": "failed", "odd:server_error": "failed",
    "odd:chatter": "unparsed", "odd:refusal_in_german": "refused", "odd:template": "unparsed",
    "odd:json_of_two": "unparsed", "html": "failed", "empty": "empty",
    "length": "truncated", "refusal": "refused", "refusal_text": "refused",
}  # fmt: skip
PASSING = (None, "500", "429", "cut")


def film(model, messages):
    return vendor_text(None, f"A film of {messages[0]['content']}.")[1]


@pytest.mark.slow
def test_a_thousand_inputs_at_five_vendors_lose_none_and_pass_no_bad_one_as_good(teacher):
    asked = conversations(1000)
    with serving(film, fault_share=0.5, faults=FIVE_VENDORS) as server:
        outcomes = list(teacher(server, parse_attempts=1).map(asked, parse_prompt))
        requests = len(server.requests)
        again = list(teacher(server, parse_attempts=1).map(asked, parse_prompt))
        # bought once, but for what has no answer and may have one another day
        assert len(server.requests) == requests + 3 * sum(outcome.reason == "failed" for outcome in outcomes)
    assert len(outcomes) == 1000 and [outcome.reason for outcome in again] == [outcome.reason for outcome in outcomes]
    for messages, outcome in zip(asked, outcomes, strict=True):
        fault = fault_of(json.dumps(messages), 0.5, faults=FIVE_VENDORS)
        if fault in PASSING or fault.startswith("residue:"):
            assert outcome.value == f"A film of {messages[0]['content']}.", fault
        else:
            assert (outcome.value, outcome.reason) == (None, VENDOR_REASON.get(fault, "content_filter")), fault


@pytest.mark.parametrize("vendor", BALANCES)
def test_an_empty_account_stops_at_once_with_the_vendors_words(teacher, vendor):
    _, body = BALANCES[vendor]
    words = read_error_message(body)
    with serving(film, fault_share=1.0, faults=(f"balance:{vendor}",)) as server:
        with pytest.raises(EndpointStopped, match=words):
            list(teacher(server, max_concurrency=1).map(conversations(3), parse_prompt))
        assert len(server.requests) == 1


def test_a_cut_or_empty_answer_is_asked_once_more_where_params_say_so(teacher):
    def once_cut(body):
        return "" if body.get("max_completion_tokens") == 10 else "[[start]] A dog. [[end]]"

    with serving(once_cut, by_body=True) as server:
        (outcome,) = teacher(server, max_completion_tokens=10).map(conversations(1), parse_prompt)
        assert (outcome.reason, len(server.requests)) == ("empty", 1)
        (outcome,) = teacher(server, max_completion_tokens=10, retry_truncated=True).map(conversations(1), parse_prompt)
        assert (outcome.value, len(server.requests)) == ("A dog.", 2)
        list(teacher(server, max_completion_tokens=10, retry_truncated=True).map(conversations(1), parse_prompt))
        assert len(server.requests) == 2
