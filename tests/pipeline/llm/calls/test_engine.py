import asyncio
import json
import socket
import sqlite3
from types import SimpleNamespace

import pytest

from pipeline.llm.calls.endpoint import EndpointStopped
from pipeline.llm.calls.engine import Engine
from pipeline.runtime.store import Store
from tests.support.in_thread import in_thread
from tests.support.llm_echo import echo
from tests.support.llm_server import LLMServer, serving
from tests.support.params import with_values


@pytest.fixture
def engine(laptop, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")

    def make(server, **changes):
        params = with_values(
            laptop.teacher,
            **dict(backend="openai", model="m", base_url=server.base_url, attempts=3, timeout_s=60.0) | changes,
        )
        return Engine("teacher", params, Store(tmp_path / "store"))

    return make


def bodies(n, **more):
    return [{"model": "m", "messages": [{"role": "user", "content": f"query {number}"}]} | more for number in range(n)]


def ask(engine, asked, sample=0):
    return list(engine.map(asked, lambda body: engine.answer(body, sample)))


def text(bought):
    return bought.stored["body"]["choices"][0]["message"]["content"]


def test_the_store_keeps_what_was_sent_and_what_came_back(engine, tmp_path):
    with serving(echo) as server:
        (bought,) = ask(engine(server), bodies(1, temperature=0.5))
        sent = server.requests[0]
    rows = sqlite3.connect(tmp_path / "store" / "answers.sqlite").execute(
        "select key, kind, request, answer from answers"
    )
    ((key, kind, request, answer),) = rows
    assert (key, kind) == (bought.key, "teacher")
    assert json.loads(request)["body"] == sent
    kept = json.loads(answer)
    assert kept["body"]["model"] == "m-snapshot"
    assert kept["body"]["usage"]["prompt_tokens"] > 0
    assert kept["latency_s"] >= 0


def test_samples_of_one_question_have_answers_of_their_own(engine):
    with serving(echo) as server:
        ask(engine(server), bodies(3))
        ask(engine(server), bodies(3), sample=1)
        ask(engine(server), bodies(3), sample=1)
        assert len(server.requests) == 6


def test_transient_faults_are_asked_again_and_counted(engine):
    faults = ("500", "502", "reset", "cut", "cut_short", "bad_utf8", "no_choices", "nested")
    with serving(echo, fault_share=0.5, faults=faults) as server:
        asked = engine(server)
        assert [text(bought) for bought in ask(asked, bodies(30))] == [f"QUERY {number}" for number in range(30)]
        totals = server.totals()
    assert asked.counts.requests == totals["requests"] > 30
    assert (asked.counts.input_tokens, asked.counts.output_tokens) == (totals["input_tokens"], totals["output_tokens"])
    assert asked.counts.transient == totals["requests"] - 30


def test_what_fails_too_often_says_why_and_is_asked_again_by_the_next_run(engine):
    with serving(echo, fault_share=1.0, faults=("two_choices",)) as server:
        (bought,) = ask(engine(server, attempts=2), bodies(1))
        assert bought.stored is None
        assert bought.why == "2 choices, where 1 was asked for (2 requests)"
        ask(engine(server, attempts=2), bodies(1))
        assert len(server.requests) == 4


def test_a_429_uses_up_no_attempt(engine):
    with serving(echo, fault_share=0.1, faults=("429",)) as server:
        asked = engine(server, attempts=1)
        assert all(bought.stored for bought in ask(asked, bodies(50)))
        assert asked.counts.limited == server.totals()["429s"] >= 1


@pytest.mark.slow
def test_a_request_that_hangs_is_left_and_asked_again(engine):
    with serving(echo, fault_share=1.0, faults=("hang",)) as server:
        asked = engine(server, timeout_s=1.0, attempts=8)  # it hangs twice at most
        assert [text(bought) for bought in ask(asked, bodies(3))] == ["QUERY 0", "QUERY 1", "QUERY 2"]


@pytest.mark.slow
def test_a_hang_is_known_by_what_others_take(engine):
    with serving(echo, fault_share=0.02, faults=("hang",)) as server:
        asked = engine(server, timeout_s=600.0)
        assert len(ask(asked, bodies(120))) == 120
    assert asked.counts.transient >= 1


@pytest.mark.parametrize("fault", ["content_filter", "content_filter_azure"])
def test_a_filtered_question_is_an_answer_and_is_bought_once(engine, fault):
    with serving(echo, fault_share=1.0, faults=(fault,)) as server:
        for _ in range(2):
            (bought,) = ask(engine(server), bodies(1))
            assert bought.stored["status"] == 400
        assert len(server.requests) == 1


def test_a_permanent_error_is_sent_once_and_not_kept(engine):
    with serving(echo) as server:
        (bought,) = ask(engine(server), [{"model": "m", "messages": []}])
        assert (bought.stored, bought.why) == (None, "400: [] is too short - 'messages'")
        assert len(server.log) == 1


def test_a_budget_stops_the_run_with_at_most_the_calls_in_flight_above_it(engine, tmp_path):
    prices = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 0.0}  # a dollar a token
    with serving(echo, delay_s=0.005) as server:
        each = 6  # 4 + two words, by the server's rule
        asked = engine(server, budget_usd=60.0, max_concurrency=4, **prices)
        with pytest.raises(EndpointStopped, match="the budget is spent: .* raise budget_usd to go on"):
            ask(asked, bodies(100))
        spent = server.totals()["input_tokens"]
        assert 60 <= spent < 60 + 4 * each
        assert asked.counts.usd == spent == asked.store.spent(asked.account)
        again = engine(server, budget_usd=60.0, max_concurrency=4, **prices)
        with pytest.raises(EndpointStopped, match="budget"):
            ask(again, bodies(100))
        assert server.totals()["input_tokens"] == spent
        more = engine(server, budget_usd=1e4, max_concurrency=4, **prices)
        assert len(ask(more, bodies(100))) == 100
        assert server.totals()["requests"] == 100


def test_a_budget_holds_where_the_server_tells_no_usage(engine):
    prices = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 0.0}
    with serving(echo, fault_share=1.0, faults=("no_usage",)) as server:
        asked = engine(server, budget_usd=20.0, max_concurrency=2, **prices)
        with pytest.raises(EndpointStopped, match="the budget is spent"):
            ask(asked, bodies(100))
        assert asked.counts.unmetered == len(server.requests) < 20


def test_what_is_stored_costs_nothing_and_needs_no_budget(engine):
    prices = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}
    with serving(echo) as server:
        ask(engine(server), bodies(5))
        asked = engine(server, budget_usd=0.0, **prices)
        assert len(ask(asked, bodies(5))) == 5
        assert (asked.counts.from_store, asked.counts.requests) == (5, 0)


def test_no_request_starts_before_the_last_answer_is_charged(engine):
    prices = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 0.0}
    with serving(echo, delay_s=0.005) as server:
        for number in range(1, 9):  # several, since it is a race
            asked = engine(server, budget_usd=12.0 * number, max_concurrency=1, **prices)
            again = ({"model": "m", "messages": [{"role": "user", "content": f"again {bought.key}"}]}
                     for bought in asked.map(bodies(100), asked.answer))  # fmt: skip
            with pytest.raises(EndpointStopped, match="budget"):
                ask(asked, again)
            assert server.totals()["input_tokens"] == 12 * number


def test_what_never_succeeds_stops_no_later_run_that_asks_nothing_else(engine):
    never = [{"model": "m", "messages": [], "user": str(number)} for number in range(20)]
    rows = [body for pair in zip(bodies(20), never, strict=True) for body in pair]
    with serving(echo) as server:
        for _ in range(2):
            assert sum(bought.stored is None for bought in ask(engine(server, max_concurrency=1), rows)) == 20


def test_an_endpoint_that_rejects_all_it_is_asked_stops_the_run(engine):
    never = [{"model": "m", "messages": [], "user": str(number)} for number in range(100)]
    with serving(echo) as server:
        with pytest.raises(EndpointStopped, match="10 requests in a row without an answer"):
            ask(engine(server, max_concurrency=1), never)
        assert len(server.requests) == 10


def test_half_a_character_beside_the_text_is_kept(engine):
    with serving(echo, fault_share=1.0, faults=("half",)) as server:
        (bought,) = ask(engine(server), bodies(1))
        assert text(bought) == "QUERY 0"


def test_a_server_that_tells_no_tokens_teaches_none(engine):
    with serving(echo, fault_share=1.0, faults=("no_usage",)) as server:
        asked = engine(server)
        before = list(asked.expected)
        ask(asked, bodies(5))
    assert (asked.expected, asked.counts.unmetered) == (before, 5)


def test_a_budget_without_a_price_is_refused_at_the_door(engine):
    with serving(echo) as server, pytest.raises(Exception, match="usd_per_million_input_tokens"):
        engine(server, budget_usd=1.0)


def test_an_endpoint_that_is_gone_stops_the_run(engine):
    with socket.socket() as held:  # so that no other server gets its port
        held.bind(("127.0.0.1", 0))
        gone = SimpleNamespace(base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        with pytest.raises(EndpointStopped, match="requests in a row without an answer"):
            ask(engine(gone, attempts=1, max_concurrency=2), bodies(100))


def test_answers_that_were_in_flight_when_the_run_stopped_are_kept(engine):
    class Together(LLMServer):
        """Answers nobody before eight have asked."""

        async def respond(self, *told):
            while len(self.requests) < 8:
                await asyncio.sleep(0.001)
            return await super().respond(*told)

    with in_thread(Together(echo)) as server:
        prices = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 0.0}
        asked = engine(server, budget_usd=1.0, max_concurrency=8, **prices)
        with pytest.raises(EndpointStopped):
            ask(asked, bodies(50))
        assert asked.store.counts()["teacher"] == len(server.requests) == 8


def test_a_limit_in_tokens_is_learnt_from_the_headers(engine):
    with serving(echo, tokens_per_minute=60_000, burst_s=0.1) as server:
        asked = engine(server, max_concurrency=16)
        assert all(bought.stored for bought in ask(asked, bodies(100)))
        assert server.totals()["429s"] <= 16 + 3
