import asyncio

import pytest

from pipeline.llm.calls.endpoint import Endpoint, EndpointStopped, Reply
from pipeline.llm.calls.ledger import Ledger
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
