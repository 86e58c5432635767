import socket
from types import SimpleNamespace

import pytest

from pipeline.llm.calls.endpoint import EndpointStopped
from tests.support.llm_echo import echo
from tests.support.llm_server import serving
from tests.support.paid_calls import ask, bodies, text


def test_transient_faults_are_asked_again_and_counted(engine):
    faults = ("500", "502", "reset", "cut", "cut_short", "bad_utf8", "no_choices", "nested")
    with serving(echo, fault_share=0.5, faults=faults) as server:
        asked = engine(server)
        assert [text(answer) for answer in ask(asked, bodies(30))] == [f"QUERY {number}" for number in range(30)]
        totals = server.totals()
    assert asked.ledger.counts.requests == totals["requests"] > 30
    assert (asked.ledger.counts.input_tokens, asked.ledger.counts.output_tokens) == (
        totals["input_tokens"],
        totals["output_tokens"],
    )
    assert asked.ledger.counts.transient == totals["requests"] - 30


def test_what_fails_too_often_says_why_and_is_asked_again_by_the_next_run(engine):
    with serving(echo, fault_share=1.0, faults=("two_choices",)) as server:
        (answer,) = ask(engine(server, attempts=2), bodies(1))
        assert answer.stored is None
        assert answer.why == "2 choices, where 1 was asked for (2 requests)"
        ask(engine(server, attempts=2), bodies(1))
        assert len(server.requests) == 4


def test_a_429_uses_up_no_attempt(engine):
    with serving(echo, fault_share=0.1, faults=("429",)) as server:
        asked = engine(server, attempts=1)
        assert all(answer.stored for answer in ask(asked, bodies(50)))
        assert asked.ledger.counts.limited == server.totals()["429s"] >= 1


@pytest.mark.slow
def test_a_request_that_hangs_is_left_and_asked_again(engine):
    with serving(echo, fault_share=1.0, faults=("hang",)) as server:
        asked = engine(server, timeout_s=1.0, attempts=8)  # it hangs twice at most
        assert [text(answer) for answer in ask(asked, bodies(3))] == ["QUERY 0", "QUERY 1", "QUERY 2"]


@pytest.mark.slow
def test_a_hang_is_known_by_what_others_take(engine):
    with serving(echo, fault_share=0.02, faults=("hang",)) as server:
        asked = engine(server, timeout_s=600.0)
        assert len(ask(asked, bodies(120))) == 120
    assert asked.ledger.counts.transient >= 1


def test_no_request_starts_before_the_last_answer_is_charged(engine):
    prices = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 0.0}
    with serving(echo, delay_s=0.005) as server:
        for number in range(1, 9):  # several, since it is a race
            asked = engine(server, budget_usd=12.0 * number, max_concurrency=1, **prices)
            again = ({"model": "m", "messages": [{"role": "user", "content": f"again {answer.key}"}]}
                     for answer in asked.map(bodies(100), asked.answer))  # fmt: skip
            with pytest.raises(EndpointStopped, match="budget"):
                ask(asked, again)
            assert server.totals()["input_tokens"] == 12 * number


def test_what_never_succeeds_stops_no_later_run_that_asks_nothing_else(engine):
    never = [{"model": "m", "messages": [], "user": str(number)} for number in range(20)]
    rows = [body for pair in zip(bodies(20), never, strict=True) for body in pair]
    with serving(echo) as server:
        for _ in range(2):
            assert sum(answer.stored is None for answer in ask(engine(server, max_concurrency=1), rows)) == 20


def test_an_endpoint_that_rejects_all_it_is_asked_stops_the_run(engine):
    never = [{"model": "m", "messages": [], "user": str(number)} for number in range(100)]
    with serving(echo) as server:
        with pytest.raises(EndpointStopped, match="10 requests in a row without an answer"):
            ask(engine(server, max_concurrency=1), never)
        assert len(server.requests) == 10


def test_an_endpoint_that_is_gone_stops_the_run(engine):
    with socket.socket() as held:  # so that no other server gets its port
        held.bind(("127.0.0.1", 0))
        gone = SimpleNamespace(base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        with pytest.raises(EndpointStopped, match="gives no answer to the first request"):
            ask(engine(gone, attempts=1, max_concurrency=2), bodies(100))


def test_an_address_that_speaks_html_stops_at_the_first_request(engine):
    with serving(echo, fault_share=1.0, faults=("html",)) as server:
        with pytest.raises(EndpointStopped, match="gives no answer to the first request: not the JSON"):
            ask(engine(server, attempts=3, max_concurrency=1), bodies(100))
        assert len(server.requests) == 3


def test_a_limit_in_tokens_is_learnt_from_the_headers(engine):
    with serving(echo, tokens_per_minute=60_000, burst_s=0.1) as server:
        asked = engine(server, max_concurrency=16)
        assert all(answer.stored for answer in ask(asked, bodies(100)))
        assert server.totals()["429s"] <= 16 + 3


def test_what_is_refused_for_good_says_why_and_is_asked_once(engine):
    refused = [{"model": "m", "messages": [], "user": str(number)} for number in range(2)]
    with serving(echo) as server:
        caller = engine(server, max_concurrency=1)
        answers = ask(caller, refused)
        assert [answer.stored for answer in answers] == [None, None] and len(server.requests) == 2
    assert [answer.why for answer in answers] == ["400: [] is too short - 'messages'"] * 2
    assert caller.ledger.counts.rejected == 2 and caller.ledger.counts.transient == 0
