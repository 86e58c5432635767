"""What hosts and models said that was once misread, each with the right answer: at a served teacher and a policy."""

import json

import pytest

from pipeline.backends.teacher.openai import OpenAI
from pipeline.llm.calls.endpoint import EndpointStopped
from pipeline.llm.calls.hosts import read_error_message
from pipeline.llm.policy_answers import read_policy_outcome
from pipeline.llm.replies import parse_prompt
from pipeline.runtime.store import Store
from schemas.seams import Unparsed
from tests.support.llm_echo import conversations, echo
from tests.support.llm_server import serving
from tests.support.params import with_values
from tests.support.rows import BY

FILM = "A dog runs over the grass."


def read_case(cases, name):
    return json.loads((cases / name).read_text(encoding="utf-8"))


@pytest.fixture
def ask(laptop, tmp_path, monkeypatch):
    """Return a function from a fault, written out, and a number of rows to what a teacher makes of them."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")

    def ask(fault, rows, requests):
        with serving(echo, fault_share=1.0, faults=(fault,)) as server:
            changes = dict(backend="openai", model="m", base_url=server.base_url, max_concurrency=1, parse_attempts=1)
            teacher = OpenAI(with_values(laptop.teacher, **changes), Store(tmp_path / "store"))
            try:
                return [list(teacher.map(conversations(rows), parse_prompt)) for _ in range(2)][0]
            finally:
                assert len(server.requests) == requests

    return ask


def test_filtered_content_is_stored_as_such_and_not_asked_again(cases, ask):
    for case in read_case(cases, "09-content-filters.json"):
        outcomes = ask("status:" + json.dumps([case["status"], case["body"]]), rows=20, requests=20)
        assert {(outcome.reason, outcome.detail) for outcome in outcomes} == {
            ("content_filter", read_error_message(case["body"]))
        }


def test_an_answer_whose_end_is_odd_is_no_prompt(cases, ask):
    for case in read_case(cases, "10-finish-reasons.json"):
        (outcome,) = ask("finish:" + json.dumps([case["finish_reason"], case["content"]]), rows=1, requests=1)
        assert (outcome.value, outcome.reason) == (None, "content_filter")


def test_an_account_without_money_stops_with_the_hosts_words_and_drops_nothing(cases, ask):
    for case in read_case(cases, "12-no-money.json"):
        with pytest.raises(EndpointStopped, match=read_error_message(case["body"])):
            ask("status:" + json.dumps([case["status"], case["body"]]), rows=case.get("rows", 3), requests=1)


def test_what_a_policy_says_is_cleaned(cases):
    outcomes = [read_policy_outcome(text, BY) for text in read_case(cases, "11-policy-answers.json")]
    assert [outcome.value for outcome in outcomes] == [
        FILM, FILM, FILM, FILM, "A dog & a cat run, it's sunny.", "A dog runs.",
    ]  # fmt: skip


def test_thinking_alone_is_no_prompt(cases):
    for text in read_case(cases, "13-think-only.json"):
        with pytest.raises(Unparsed, match="empty"):
            parse_prompt(text)


def test_residue_of_a_teachers_answer_goes(cases):
    assert [parse_prompt(text) for text in read_case(cases, "14-teacher-residue.json")] == [
        'A dog & a cat, "friends", it\'s sunny.',
        "A dog runs over the grass. Camera: pan Light: warm",
        FILM,
    ]
