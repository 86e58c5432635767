"""Who waits for what: conversations become batches, and each gets the answer that it asked for."""

import asyncio
from collections import Counter

import pytest

from pipeline.llm.calls.endpoint import EndpointStopped
from pipeline.llm.rounds import MOST_WAITING, ask_round
from tests.support.llm_batches import Batches as ServerBatches
from tests.support.llm_echo import conversations, echo, expected, parse
from tests.support.llm_in_batches import DOLLAR_A_TOKEN, Spoilt, batches_of, values
from tests.support.llm_server import serving

pytestmark = pytest.mark.slow  # together they take a good share of a minute
FAULTS = ("500", "cut", "empty", "length", "refusal", "content_filter", "no_choices", "two_choices")


def test_outcomes_are_those_of_direct_mode(teacher):
    def outcomes(mode):
        with serving(echo, fault_share=0.4, faults=FAULTS) as server:
            # a fault that lasts fails with other words: "(3 batches)"
            asked = teacher(server, mode=mode, store=mode, max_concurrency=32)
            return [
                (outcome.value, outcome.reason, outcome.detail.split(" (")[0])
                for outcome in asked.map(conversations(100), parse)
            ]

    assert outcomes("batch") == outcomes("direct")


def test_neither_mode_buys_what_the_other_bought(teacher):
    with serving(echo) as server:
        by_batch = list(teacher(server).map(conversations(10), parse))
        direct = list(teacher(server, mode="direct").map(conversations(20), parse))
        assert (len(server.requests), len(batches_of(server))) == (10, 1)
        assert list(teacher(server).map(conversations(20), parse)) == direct
        assert (len(server.requests), len(batches_of(server))) == (10, 1)
    assert direct[:10] == by_batch


def test_a_batch_is_charged_at_half_the_price(teacher):
    with serving(echo, fault_share=0.3, faults=("500", "no_choices")) as server:
        asked = teacher(server, **DOLLAR_A_TOKEN)
        assert values(asked, 20) == expected(20)
        tokens = sum(entry[3] + entry[4] for entry in server.log)
        assert (
            asked.engine.ledger.store.read_spent_usd(asked.engine.ledger.account)
            == asked.engine.ledger.counts.usd
            == tokens / 2
        )
        assert asked.engine.ledger.counts.requests == len(server.log)


def test_all_conversations_are_one_batch_and_equal_ones_one_line(teacher):
    with serving(echo) as server:
        outcomes = list(teacher(server).map(conversations(300) * 2, parse))
        assert [len(batch) for batch in batches_of(server)] == [300]
    assert [outcome.value for outcome in outcomes] == expected(300) * 2


def test_more_conversations_than_are_held_at_once_come_in_order(teacher):
    with serving(echo) as server:
        assert values(teacher(server, {"conversations": 20}), 110) == expected(110)
        assert sum(len(batch) for batch in batches_of(server)) == 110


def test_a_map_may_feed_another(teacher):
    with serving(lambda model, messages: f"{messages[-1]['content']} QUERY") as server:
        asked = teacher(server)
        first = asked.map(conversations(30), parse)
        second = asked.map(([{"role": "user", "content": outcome.value}] for outcome in first), parse)
        assert [outcome.value for outcome in second] == [f"query {number} QUERY QUERY" for number in range(30)]
        assert [len(batch) for batch in batches_of(server)] == [30, 30]


def test_questions_that_follow_from_a_batch_wait_for_all_of_it(teacher):
    class Halting(ServerBatches):
        async def handle(self, request):
            from aiohttp import web

            whole = await super().handle(request)
            if not request.path.endswith("content"):
                return whole
            halting = web.StreamResponse()
            await halting.prepare(request)
            for half in (whole.body[: len(whole.body) // 2], whole.body[len(whole.body) // 2 :]):
                await halting.write(half)
                await asyncio.sleep(0.3)
            return halting

    with serving(lambda model, messages: "QUERY" if len(messages) > 1 else "nonsense") as server:
        server.batches = Halting(server, 2, 0.0)
        assert values(teacher(server), 1600) == ["QUERY"] * 1600
        assert [len(batch) for batch in batches_of(server)] == [1600, 1600]


def test_a_chain_of_rounds_is_one_batch_a_round(teacher):
    with serving(echo) as server:
        asked = teacher(server)
        items = ((number, ()) for number in range(MOST_WAITING + 100))
        for sample in (0, 1):
            items = ask_round(
                items,
                is_open=lambda item, sample=sample: sample == 0 or item[0] % 10 == 0,
                messages=lambda item: [{"role": "user", "content": f"query {item[0]}"}],
                take=lambda item, outcome: (item[0], (*item[1], outcome.value)),
                teacher=asked,
                parse=parse,
                sample=sample,
            )
        answers = [len(answers) for _, answers in items]
        assert [len(batch) for batch in batches_of(server)] == [len(answers), answers.count(2)]
    assert answers[:11] == [2, *[1] * 9, 2]


def test_what_cannot_be_parsed_is_asked_again_in_the_next_batch(teacher):
    def answer(model, messages):
        return "QUERY" if len(messages) > 1 or messages[0]["content"] != "query 3" else "nonsense"

    with serving(answer) as server:
        assert values(teacher(server), 10) == ["QUERY"] * 10
        first, second = batches_of(server)
        assert len(first) == 10
        assert len(second) == 1 and "no_query" in second[0]


def test_expired_lines_are_asked_again_and_fail_in_the_end_with_their_words(teacher):
    with serving(echo, expire_share=0.5) as server:
        outcomes = list(teacher(server, attempts=3).map(conversations(16), parse))
        assert [len(batch) for batch in batches_of(server)] == [16, 8, 4]
    assert [outcome.value for outcome in outcomes[:14]] == expected(14)
    assert outcomes[15].reason == "failed"
    assert outcomes[15].detail.startswith("batch_expired: This request could not be executed")
    assert outcomes[15].detail.endswith("(3 batches)")


def test_a_batch_that_is_refused_stops_the_run_with_the_servers_words(teacher):
    with serving(echo) as server:
        server.batches = Spoilt(server, 2, 0.0)
        server.batches.spoil = lambda purpose, lines: [*lines, b"{\n"]
        with pytest.raises(
            EndpointStopped, match="refused batch_0 with 4 requests: line 5: This line is not parseable"
        ):
            values(teacher(server), 4)
        server.batches.spoil = lambda purpose, lines: lines
        assert values(teacher(server), 4) == expected(4)


def test_a_batch_without_room_waits_for_another_to_end(teacher):
    class Narrow(ServerBatches):
        def poll(self, name):
            open_ones = [batch for batch in self.batches.values() if batch["status"] not in ("completed", "failed")]
            batch = self.batches[name]
            if batch in open_ones[1:]:
                data = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}]
                batch |= {"status": "failed", "errors": {"object": "list", "data": data}}
            return super().poll(name)

    with serving(echo) as server:
        server.batches = Narrow(server, 20, 0.0)
        assert values(teacher(server, {"requests": 5}, attempts=1), 15) == expected(15)
        statuses = Counter(batch["status"] for batch in server.batches.batches.values())
    assert statuses == {"completed": 3, "failed": 3}


def test_a_cancelled_batch_stops_the_run_and_the_next_asks_for_the_rest(teacher):
    class Cancelled(ServerBatches):
        def create(self, asked):
            return super().create(asked) | {"status": self.cancel(f"batch_{len(self.batches) - 1}")["status"]}

    with serving(echo) as server:
        server.batches = Cancelled(server, 3, 0.0)
        with pytest.raises(EndpointStopped, match="batch_0 was cancelled"):
            values(teacher(server), 8)
        Cancelled.create = ServerBatches.create
        assert values(teacher(server), 8) == expected(8)
        assert [len(batch) for batch in batches_of(server)] == [8, 4]


def test_half_a_character_fails_alone(teacher):
    with serving(echo) as server:
        asked = [*conversations(2), [{"role": "user", "content": "\ud83d"}]]
        outcomes = list(teacher(server).map(asked, parse))
    assert [outcome.value for outcome in outcomes] == [*expected(2), None]
    assert "no UTF-8" in outcomes[2].detail
