import asyncio
import json
import sqlite3
from contextlib import closing

import pytest

from pipeline.llm.calls.endpoint import EndpointStopped
from pipeline.llm.calls.engine import answer_key
from tests.support.in_thread import in_thread
from tests.support.llm_echo import echo
from tests.support.llm_server import LLMServer, serving
from tests.support.paid_calls import ask, bodies, text


def test_the_store_keeps_what_was_sent_and_what_came_back(engine, tmp_path):
    with serving(echo) as server:
        (answer,) = ask(engine(server), bodies(1, temperature=0.5))
        sent = server.requests[0]
    with closing(sqlite3.connect(tmp_path / "store" / "answers.sqlite")) as connection:
        ((key, kind, request, text_of_answer),) = connection.execute("select key, kind, request, answer from answers")
    assert (key, kind) == (answer.key, "teacher")
    assert json.loads(request)["body"] == sent
    kept = json.loads(text_of_answer)
    assert kept["body"]["model"] == "m-snapshot"
    assert kept["body"]["usage"]["prompt_tokens"] > 0
    assert kept["latency_s"] >= 0


def test_equal_questions_side_by_side_are_bought_once(engine):
    with serving(echo, delay_s=0.02) as server:
        answers = ask(engine(server, max_concurrency=4), bodies(1) * 4)
        assert len(server.requests) == 1 and len({answer.key for answer in answers}) == 1


def test_samples_of_one_question_have_answers_of_their_own(engine):
    with serving(echo) as server:
        ask(engine(server), bodies(3))
        ask(engine(server), bodies(3), sample=1)
        ask(engine(server), bodies(3), sample=1)
        assert len(server.requests) == 6


@pytest.mark.parametrize("fault", ["content_filter", "content_filter_azure"])
def test_a_filtered_question_is_an_answer_and_is_bought_once(engine, fault):
    with serving(echo, fault_share=1.0, faults=(fault,)) as server:
        for _ in range(2):
            (answer,) = ask(engine(server), bodies(1))
            assert answer.stored["status"] == 400
        assert len(server.requests) == 1


def test_a_permanent_error_is_sent_once_and_not_kept(engine):
    with serving(echo) as server:
        (answer,) = ask(engine(server), [{"model": "m", "messages": []}])
        assert (answer.stored, answer.why) == (None, "400: [] is too short - 'messages'")
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
        assert asked.ledger.counts.usd == spent == asked.ledger.store.read_spent_usd(asked.ledger.account)
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
        assert asked.ledger.counts.unmetered == len(server.requests) < 20


def test_what_is_stored_costs_nothing_and_needs_no_budget(engine):
    prices = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}
    with serving(echo) as server:
        ask(engine(server), bodies(5))
        asked = engine(server, budget_usd=0.0, **prices)
        assert len(ask(asked, bodies(5))) == 5
        assert (asked.ledger.counts.from_store, asked.ledger.counts.requests) == (5, 0)


def test_half_a_character_beside_the_text_is_kept(engine):
    with serving(echo, fault_share=1.0, faults=("half",)) as server:
        (answer,) = ask(engine(server), bodies(1))
        assert text(answer) == "QUERY 0"


def test_a_server_that_tells_no_tokens_teaches_none(engine):
    with serving(echo, fault_share=1.0, faults=("no_usage",)) as server:
        asked = engine(server)
        before = dict(vars(asked.ledger.expected))
        ask(asked, bodies(5))
    assert (vars(asked.ledger.expected), asked.ledger.counts.unmetered) == (before, 5)


def test_a_budget_without_a_price_is_refused_at_the_door(engine):
    with serving(echo) as server, pytest.raises(Exception, match="usd_per_million_input_tokens"):
        engine(server, budget_usd=1.0)


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
        assert asked.ledger.store.counts()["teacher"] == len(server.requests) == 8


def test_a_full_disk_stops_the_run_before_more_than_the_calls_in_flight_are_bought(engine):
    with serving(echo, delay_s=0.005) as server:
        asked = engine(server, max_concurrency=4)
        store = asked.ledger.store
        (pages,) = store.connection.execute("pragma page_count").fetchone()
        store.connection.execute(f"pragma max_page_count={pages + 3}")
        with pytest.raises(EndpointStopped, match="store: .* stored: database or disk is full; make room"):
            ask(asked, bodies(100))
        kept = store.counts()["teacher"]
        assert 0 < kept <= len(server.requests) <= kept + 4


def test_nothing_is_bought_where_no_room_is_left(engine):
    with serving(echo) as server:
        asked = engine(server)
        asked.ledger.store.find_lack_of_room = lambda: "no room"
        with pytest.raises(EndpointStopped, match="no room"):
            ask(asked, bodies(3))
        assert server.requests == []


def test_a_budget_is_never_below_the_bill_of_a_server_that_hangs_or_fails_after_its_work(engine):
    class Billing(LLMServer):
        """Works for every request; of three it answers one, hangs at one and fails at one."""

        billed = 0

        async def respond(self, *request):
            from aiohttp import web

            reply = await super().respond(*request)
            self.billed += 1
            if self.billed % 3 == 1:
                await asyncio.sleep(60)
            return web.Response(status=500) if self.billed % 3 == 2 else reply

    prices = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 0.0}
    with in_thread(Billing(echo)) as server:
        asked = engine(server, budget_usd=90.0, max_concurrency=4, timeout_s=0.3, attempts=5, **prices)
        with pytest.raises(EndpointStopped, match="the budget is spent"):
            ask(asked, bodies(100))
        each = 6
        assert asked.ledger.read_spent_usd() >= each * (server.billed - 4)
        assert server.billed * each < 90 + 4 * each
        assert asked.ledger.counts.given_up > 3


def test_a_key_holds_who_is_asked_what_which_draw_and_which_weights():
    whole = {"kind": "teacher", "host": "a", "body": {"model": "m"}, "sample": 0, "revision": "w"}
    others = [("kind", "policy"), ("host", "b"), ("body", {"model": "n"}), ("sample", 1), ("revision", "v"),
              ("revision", None)]  # fmt: skip
    keys = {answer_key(**whole)} | {answer_key(**whole | {name: value}) for name, value in others}
    assert len(keys) == 1 + len(others)
    assert answer_key("teacher", "a", {"model": "m", "n": 1}) == answer_key("teacher", "a", {"n": 1, "model": "m"})
