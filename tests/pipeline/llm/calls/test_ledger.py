import asyncio
import json
import re
from dataclasses import asdict

import pytest

from pipeline.llm.calls.endpoint import Endpoint, EndpointStopped, Reply
from pipeline.llm.calls.ledger import Ledger
from pipeline.runtime.accounts import project
from pipeline.runtime.store import Store
from tests.support.params import with_values

PRICES = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 1e6}
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
def ledger(laptop, tmp_path, monkeypatch, vpo_home):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")

    def make(**changes):
        params = with_values(laptop.teacher, **{"backend": "openai", "model": "m"} | PRICES | changes)
        return Ledger("teacher", params, Endpoint(params), Store(tmp_path / "store"))

    return make


def reply(n_input, n_output):
    usage = {"prompt_tokens": n_input, "completion_tokens": n_output}
    return Reply("answer", 200, {"choices": [], "usage": usage})


def run(ledger, work):
    async def within():
        await ledger.begin()
        try:
            return await work()
        finally:
            await ledger.end()

    return asyncio.run(within())


def test_an_answer_is_stored_and_charged_to_the_account_of_all_processes(ledger):
    books = ledger()

    async def keep():
        return await books.keep_answer("k", BODY, 0, reply(3, 4), 0.1, 0)

    assert run(books, keep)["status"] == 200
    assert books.store.get("k")["latency_s"] == 0.1
    assert ledger().spent_usd == books.read_spent_usd() == 7.0


def test_a_reply_that_cannot_be_kept_is_charged_too(ledger):
    books = ledger()
    books.charge_unusable((2, 3))
    assert books.spent_usd == ledger().spent_usd == 5.0


def test_a_spent_budget_stops_the_run_and_the_first_fault_is_the_one_that_is_told(ledger):
    books = ledger(budget_usd=5.0)
    books.charge_unusable((2, 3))

    async def send():
        with pytest.raises(EndpointStopped, match="the budget is spent: 5.0000 of 5 US dollars"):
            books.check_may_send()
        books.interrupt()
        with pytest.raises(EndpointStopped, match="the budget is spent"):
            await books.sleep(60)

    run(books, send)


def test_a_run_that_begins_again_has_not_stopped(ledger):
    books = ledger()

    async def stop():
        books.interrupt()

    async def send():
        books.check_may_send()

    run(books, stop)
    run(books, send)


def test_a_reply_without_usage_is_charged_what_others_would_ask_and_a_filtered_one_nothing(ledger):
    books = ledger()
    expected = books.expected.estimate_input(BODY) + round(books.expected.estimate_output(BODY))

    async def keep():
        await books.keep_answer("k", BODY, 0, Reply("answer", 200, {"choices": []}), 0.1, 0)
        await books.keep_answer("l", BODY, 0, Reply("answer", 400, {"error": {}}), 0.1, 0)

    run(books, keep)
    assert books.spent_usd == books.counts.usd == ledger().spent_usd == expected > 0


def test_what_was_given_up_is_charged_as_expected_and_told_apart(ledger):
    books = ledger()
    books.charge_expected(BODY)
    assert books.spent_usd == books.counts.expected_usd > 0
    assert (books.counts.given_up, books.counts.usd) == (1, 0.0)


def test_tokens_of_a_reply_are_counted_once_and_one_that_tells_none_is_unmetered(ledger):
    books = ledger()
    assert books.count_tokens(reply(3, 4)) == (3, 4)
    assert books.count_tokens(Reply("answer", 200, {})) is None
    assert books.count_tokens(Reply("rejected", 400, {})) is None
    counts = books.counts
    assert (counts.input_tokens, counts.output_tokens, counts.usd, counts.unmetered) == (3, 4, 7.0, 1)


def test_a_request_is_stored_with_its_host_sample_and_weights(ledger):
    books = ledger()
    books.revision = "w"

    async def keep():
        await books.keep_answer("k", BODY, 2, reply(1, 1), 0.1, 1)

    run(books, keep)
    (request,) = books.store.connection.execute("select request from answers").fetchone()
    assert json.loads(request) == {"host": books.endpoint.host, "body": BODY, "sample": 2, "revision": "w"}


def test_an_answer_is_kept_with_its_status_time_attempt_and_the_servers_name_for_it(ledger):
    books = ledger()
    answered = Reply("answer", 200, reply(1, 1).body, {"x-request-id": "r1"})

    async def keep():
        return await books.keep_answer("k", BODY, 0, answered, 0.12345, 3)

    assert run(books, keep) == {
        "status": 200, "body": answered.body, "latency_s": 0.123, "attempt": 3, "request_id": "r1",
    }  # fmt: skip
    assert books.counts.answers == 1 and books.store.get("k")["attempt"] == 3


def test_what_a_process_did_is_written_for_its_owner_alone(ledger, vpo_home, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "critique@sft")
    books = ledger(budget_usd=1.0)
    books.count_tokens(reply(3, 4))

    async def stop():
        books.interrupt()

    run(books, stop)
    (path,) = (vpo_home / "runs").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600 and path.name.endswith(".json")
    record = json.loads(path.read_text())
    assert 0 <= record.pop("seconds") < 600 and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.pop("at"))
    assert record == {
        "project": str(project()), "stage": "critique@sft", "stopped": "stopped", "host": books.endpoint.host,
        "model": "m", **asdict(books.counts),
    }  # fmt: skip
    assert (record["input_tokens"], record["output_tokens"], record["usd"]) == (3, 4, 7.0)


@pytest.mark.parametrize(
    ("prices", "money"), [({}, "$7.00"), pytest.param(dict.fromkeys(PRICES), "price unknown", marks=pytest.mark.slow)]
)
def test_a_person_sees_what_came_from_the_store_tokens_and_money(ledger, prices, money):
    books = ledger(**prices)
    books.count_tokens(reply(3, 4))
    books.counts.from_store, books.counts.output_tokens = 5, 1997
    assert books.describe_status() == f"5 from store · 2k tokens · {money}"


@pytest.mark.parametrize(("budget", "may_send"), [(5.1, True), (5.0, False), (0.0, False), (None, True)])
def test_a_budget_is_spent_when_so_much_is_charged(ledger, budget, may_send):
    books = ledger(budget_usd=budget)
    books.charge_unusable((2, 3))

    async def send():
        books.check_may_send()

    if may_send:
        run(books, send)
    else:
        with pytest.raises(EndpointStopped, match="raise budget_usd to go on"):
            run(books, send)


def test_each_kind_of_token_has_its_own_price(ledger):
    books = ledger(usd_per_million_input_tokens=2e6, usd_per_million_output_tokens=3e6)
    assert books.cost_usd(10, 100) == 320.0


def test_a_sleep_that_nobody_ends_is_over_in_time(ledger):
    books = ledger()

    async def sleep():
        await books.sleep(0.001)
        books.interrupt()
        with pytest.raises(EndpointStopped, match="^stopped$"):
            await books.sleep(60)

    run(books, sleep)
