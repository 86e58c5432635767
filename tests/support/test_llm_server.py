"""The loopback server itself, where it is subtle."""

import asyncio
import io
import json
import math
from collections import Counter

import pytest

from tests.support.llm_echo import conversations, echo
from tests.support.llm_faults import ALL_FAULTS, LASTING, conversation_id, fault_of
from tests.support.llm_limits import Bucket, duration
from tests.support.llm_server import serving, serving_process

pytestmark = pytest.mark.slow


def client(server, **changes):
    import openai

    return openai.OpenAI(api_key="k", base_url=server.base_url, **{"max_retries": 0, "timeout": 60.0} | changes)


def tried(server, messages, times, hanging=0):
    """Return what each of some requests for one conversation came to: a text, or the error's name.

    The first `hanging` are left after half a second.
    """
    import openai

    seen = []
    with client(server) as asks:
        for number in range(times):
            asking = asks.with_options(timeout=0.5) if number < hanging else asks
            try:
                response = asking.chat.completions.create(model="m", messages=messages)
                seen.append(response.choices[0].message.content if response.choices else "no_choices")
            except (openai.APIError, ValueError) as fault:
                seen.append(type(fault).__name__)
    return seen


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_a_transient_fault_goes_after_two_requests_and_a_lasting_one_stays(fault):
    with serving(echo, fault_share=1.0, faults=(fault,)) as server:
        seen = tried(server, conversations(1)[0], 3, hanging=2 * (fault == "hang"))
        logged = [entry[2] for entry in server.log]
    assert logged[0] == fault and (logged[2] == fault) == (fault in LASTING)
    if fault == "two_choices":
        assert seen == ["QUERY 0"] * 3
    elif fault in LASTING:
        assert len(set(seen)) == 1 and seen[0] != "QUERY 0"
    else:
        assert seen[0] != "QUERY 0" and seen[2] == "QUERY 0"


async def ask_and_leave(server, asked, n):
    """Ask all at once; leave when `n` are in flight and the others answered."""
    import openai

    async with openai.AsyncOpenAI(api_key="k", base_url=server.base_url, max_retries=0, timeout=600) as asks:
        asking = [asyncio.create_task(asks.chat.completions.create(model="m", messages=messages)) for messages in asked]
        while server.in_flight != n or len(server.log) + n < len(asked):
            await asyncio.sleep(0.01)
        # the server may have ended with one that the client still reads
        while sum(not task.done() for task in asking) > n:
            await asyncio.sleep(0.01)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    while len(server.log) < len(asked):
        await asyncio.sleep(0.01)


def test_every_fault_is_met_and_logged_under_the_name_that_fault_of_gives():
    asked = conversations(300)
    expected = Counter(fault_of(json.dumps(messages), 0.5, 7, ALL_FAULTS) or "ok" for messages in asked)

    with serving(echo, fault_share=0.5, seed=7, faults=ALL_FAULTS) as server:
        asyncio.run(ask_and_leave(server, asked, expected["hang"]))
        totals, log = server.totals(), server.log
    assert totals["answered"] == expected and len(expected) == 1 + len(ALL_FAULTS)
    assert {entry[1] for entry in log} == {conversation_id(json.dumps(messages), 7) for messages in asked}


def test_a_client_that_leaves_is_logged_as_gone():
    with serving(echo, delay_s=600.0) as server:
        asyncio.run(ask_and_leave(server, conversations(1), 1))
        assert server.totals()["answered"] == {"gone": 1}


def test_beyond_the_limit_is_429_with_the_headers_asked_for():
    import openai

    # two at once, and the next after a minute: nothing flows in while the three are on their way
    limit = dict(requests_per_minute=1, burst_s=120.0, retry_after=("ms", "s"))
    with serving(echo, **limit) as server, client(server) as asks:
        ask = asks.chat.completions.with_raw_response.create
        first = ask(model="m", messages=conversations(1)[0])
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        ask(model="m", messages=conversations(1)[0])
        with pytest.raises(openai.RateLimitError) as refused:
            ask(model="m", messages=conversations(1)[0])
    headers = refused.value.response.headers
    assert headers["x-ratelimit-limit-requests"] == "1" and headers["x-ratelimit-remaining-requests"] == "0"
    wait_ms = int(headers["retry-after-ms"])
    assert 0 < wait_ms <= 60_000 and headers["Retry-After"] == str(math.ceil(wait_ms / 1000))


def test_a_bucket_refills_all_the_time_up_to_its_burst():
    bucket = Bucket(per_minute=600, burst_s=1.0, now=0.0)
    bucket.level -= 10
    assert bucket.wait_s(1, now=0.05) == pytest.approx(0.05)
    assert bucket.wait_s(1, now=0.1) == pytest.approx(0.0)
    bucket.wait_s(0, now=100.0)
    assert bucket.level == 10


def test_durations_are_written_as_openai_writes_them():
    seconds = [0, 0.02, 1, 8.64, 360, 3600, 59.999]
    assert [duration(value) for value in seconds] == ["0ms", "20ms", "1s", "8.64s", "6m0s", "1h0m0s", "1m0s"]


def test_choices_and_schemas_reach_a_function_that_reads_the_body():
    def answer(body):
        return [json.dumps({"choice": number, **body["response_format"]}) for number in range(body["n"])]

    with serving(answer, by_body=True) as server, client(server) as asks:
        response = asks.chat.completions.create(
            model="m", messages=conversations(1)[0], n=3, response_format={"type": "json_object"}
        )
    assert [json.loads(choice.message.content)["choice"] for choice in response.choices] == [0, 1, 2]


def test_the_deployment_in_the_path_is_the_model():
    import openai

    with serving(echo) as server:
        endpoint = server.base_url.removesuffix("/v1")
        where = dict(azure_endpoint=endpoint, azure_deployment="dep", api_version="2024-10-21")
        with openai.AzureOpenAI(api_key="k", **where) as asks:
            response = asks.chat.completions.create(model="m", messages=conversations(1)[0])
    assert response.model == "dep-snapshot"


def test_a_process_of_its_own_tells_its_log_and_forgets_it():
    with serving_process(echo, fault_share=1.0, faults=("500",)) as server:
        assert tried(server, conversations(1)[0], 3)[-1] == "QUERY 0"
        (conversation,) = {entry[1] for entry in server.log()}
        assert conversation == conversation_id(json.dumps(conversations(1)[0]))
        server.forget()
        assert server.totals()["requests"] == 0
        assert tried(server, conversations(1)[0], 1) == ["InternalServerError"]


def batch_of(asks, asked, **changes):
    lines = [
        {"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions",
         "body": {"model": "m", "messages": messages}} | changes
        for number, messages in enumerate(asked)
    ]  # fmt: skip
    content = io.BytesIO("".join(f"{json.dumps(line)}\n" for line in lines).encode())
    file = asks.files.create(file=("in.jsonl", content), purpose="batch")
    return asks.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"stage": "critique"}
    )


def results(asks, file_id):
    return [json.loads(line) for line in asks.files.content(file_id).text.splitlines()]


def test_a_batch_ends_after_its_polls_with_shuffled_lines_and_the_rest_in_the_error_file():
    with serving(echo, fault_share=0.2, polls=3, expire_share=0.1) as server, client(server) as asks:
        batch = batch_of(asks, conversations(40))
        states = [asks.batches.retrieve(batch.id) for _ in range(3)]
        assert [batch.status, *(state.status for state in states)] == [
            "validating", "in_progress", "finalizing", "expired",
        ]  # fmt: skip
        good, bad = results(asks, states[-1].output_file_id), results(asks, states[-1].error_file_id)
        (listed,) = asks.batches.list(limit=5)
    assert listed.metadata == {"stage": "critique"} and listed.request_counts.failed == len(bad)
    order = [int(line["custom_id"][1:]) for line in good]
    assert order != sorted(order)
    assert sorted(order + [int(line["custom_id"][1:]) for line in bad]) == list(range(40))
    assert sum((line["error"] or {}).get("code") == "batch_expired" for line in bad) == 4


def test_a_batch_with_the_same_id_twice_fails_and_a_cancelled_one_keeps_what_was_done():
    with serving(echo) as server, client(server) as asks:
        wrong = batch_of(asks, conversations(3), custom_id="same")
        failed = asks.batches.retrieve(wrong.id)
        assert (failed.status, failed.errors.data[0].code) == ("failed", "duplicate_custom_id")
        batch = batch_of(asks, conversations(10))
        assert asks.batches.cancel(batch.id).status == "cancelling"
        cancelled = asks.batches.retrieve(batch.id)
        assert cancelled.status == "cancelled" and len(results(asks, cancelled.output_file_id)) == 5
