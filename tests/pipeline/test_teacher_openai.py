import json

import pytest
from llm_server import fault_of, serving

from pipeline.backends import Unparsed
from pipeline.backends.teacher.openai import OpenAI, TeacherStopped
from pipeline.replies import parse_prompt
from pipeline.store import Store

KEY = "sk-secret-of-the-test"


@pytest.fixture
def teacher(laptop, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def make(server, **changes):
        params = laptop.teacher.model_copy(
            update=dict(backend="openai", model="m", base_url=server.base_url, attempts=3, timeout_s=5.0) | changes
        )
        return OpenAI(params, Store(tmp_path / "store"))

    return make


def echo(model, messages):
    return messages[-1]["content"].upper()


def conversations(n):
    return [[{"role": "user", "content": f"query {number}"}] for number in range(n)]


def parse(text):
    if "QUERY" not in text:
        raise Unparsed("no_query")
    return text


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


def test_faults_end_as_an_answer_or_a_true_reason(teacher):
    asked = conversations(300)
    expected = {"empty": "empty", "length": "truncated", "refusal": "refused", "content_filter": "content_filter",
                "cut": "failed", "no_choices": "failed"}  # fmt: skip
    with serving(echo, fault_share=0.3) as server:
        outcomes = list(teacher(server).map(asked, parse))
    for messages, outcome in zip(asked, outcomes, strict=True):
        fault = fault_of(json.dumps(messages), 0.3, 0)
        if fault in expected:
            assert (outcome.value, outcome.reason) == (None, expected[fault]), fault
        else:
            assert outcome.value == messages[-1]["content"].upper()


def test_an_answer_that_cannot_be_parsed_is_asked_again_and_then_set_aside(teacher):
    with serving(lambda model, messages: "nonsense") as server:
        (outcome,) = teacher(server, parse_attempts=3).map(conversations(1), parse)
        assert len(server.requests) == 3
    assert (outcome.reason, outcome.detail) == ("unparsed", "no_query (3 answers)")


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


def test_a_server_that_repeats_the_key_does_not_bring_it_into_a_row(teacher):
    class Fault:
        body = {"message": f"the key {KEY} has no access"}

    with serving(echo) as server:
        assert teacher(server).said(Fault()) == "the key [key] has no access"


def test_a_password_in_the_address_is_no_part_of_the_host(teacher):
    with serving(echo) as server:
        assert teacher(server, base_url="http://me:secret@127.0.0.1:1/v1").host == "127.0.0.1:1"


def test_a_missing_key_names_its_variable(teacher, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(echo) as server, pytest.raises(TeacherStopped, match="variable OPENAI_API_KEY"):
        teacher(server)


def test_an_endpoint_that_is_gone_stops_the_run(teacher):
    with serving(echo) as server:
        pass
    with pytest.raises(TeacherStopped, match="requests in a row without an answer"):
        list(teacher(server, attempts=1, max_concurrency=2).map(conversations(100), parse))
