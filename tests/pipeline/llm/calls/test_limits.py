"""A server with a token bucket and 64 workers on a virtual clock: no test here waits."""

import heapq
import itertools
import random

import pytest

from pipeline.llm.calls.limits import Bucket, Limits, duration_s, retry_after_s

WORKERS = 64


def simulate(
    n, requests_per_minute=1200, burst=20.0, told=True, retry_after=False, latency_s=0.2, given=None, stray=0.0
):
    """Return (times of accepted requests, how many were refused)."""
    draw, order = random.Random(0), itertools.count()
    limits, rate = Limits(given, None), requests_per_minute / 60
    level, filled_at, todo, in_flight, accepted, refused = burst, 0.0, n, 0, [], 0
    events, looking = [(0.0, next(order), None)], True
    while todo or in_flight:
        now, _, ended = heapq.heappop(events)
        if ended is None:
            looking = False
        else:
            in_flight -= 1
            ticket, headers, waiting, let_through = ended
            if let_through:
                limits.note_answer(ticket, headers, 100, now)
            else:
                todo, refused = todo + 1, refused + 1
                limits.note_refusal(ticket, headers, waiting, now)
        while todo and in_flight < WORKERS:
            if (wait := limits.wait_s(100, now)) > 0:
                if not looking:
                    looking = True
                    heapq.heappush(events, (now + wait + 0.002 * draw.random(), next(order), None))
                break
            todo, in_flight, ticket = todo - 1, in_flight + 1, limits.let_out(100, now)
            level, filled_at = min(burst, level + (now - filled_at) * rate), now
            let_through = level >= 1 and draw.random() >= stray
            if let_through:
                level -= 1
                accepted.append(now)
            headers = {"x-ratelimit-limit-requests": str(requests_per_minute),
                       "x-ratelimit-remaining-requests": str(int(level))} if told else {}  # fmt: skip
            waiting = (1 - level) / rate if retry_after and not let_through else None
            took = latency_s * draw.lognormvariate(-0.125, 0.5) if let_through else 0.01
            heapq.heappush(events, (now + took, next(order), (ticket, headers, waiting, let_through)))
    return accepted, refused


def share_after_5_s(accepted, per_minute):
    return sum(at >= 5 for at in accepted) / (accepted[-1] - 5) / (per_minute / 60)


@pytest.mark.parametrize(
    ("server", "least"),
    [
        ({}, 0.95),
        ({"retry_after": True}, 0.95),
        ({"burst": 1200.0}, 0.95),
        ({"told": False}, 0.9),
        ({"told": False, "retry_after": True}, 0.9),
        ({"told": False, "burst": 60.0}, 0.9),
        ({"told": False, "requests_per_minute": 6000, "n": 8000}, 0.9),
    ],
    ids=str,
)
def test_an_unknown_limit_is_used_and_hardly_overstepped(server, least):
    server = {"n": 1500} | server
    accepted, refused = simulate(**server)
    assert len(accepted) == server["n"]
    assert share_after_5_s(accepted, server.get("requests_per_minute", 1200)) >= least
    assert refused <= WORKERS + server["n"] / 100


def test_a_limit_is_found_where_every_answer_takes_seconds():
    accepted, refused = simulate(1000, requests_per_minute=600, told=False, latency_s=2.0)
    assert share_after_5_s(accepted, 600) >= 0.9
    assert refused <= 0.1 * 1000


def test_stray_refusals_of_an_endpoint_without_a_limit_slow_nothing_down():
    accepted, refused = simulate(5000, requests_per_minute=1e6, told=False, stray=0.03)
    assert refused > 100
    assert accepted[-1] < 1.5 * 5000 * 0.2 / WORKERS


def test_stray_refusals_beside_a_limit_cost_little():
    accepted, _ = simulate(1500, told=False, stray=0.02)
    assert share_after_5_s(accepted, 1200) >= 0.7


def test_a_given_limit_is_kept_from_the_first_request():
    accepted, refused = simulate(600, given=1200)
    assert refused == 0
    assert 27 <= accepted[-1] <= 31


def test_a_limit_that_was_given_too_high_is_mended_by_what_is_refused():
    accepted, refused = simulate(1500, told=False, given=6000)
    assert share_after_5_s(accepted, 1200) >= 0.9
    assert refused <= 2 * WORKERS


def test_everybody_waits_when_the_server_asks_for_it():
    limits = Limits(None, None)
    first, second = limits.let_out(1, 0.0), limits.let_out(1, 0.0)
    limits.note_refusal(first, {}, 7.0, 1.0)
    limits.note_answer(second, {}, 1, 1.1)
    assert limits.wait_s(1, 1.1) == pytest.approx(6.9)


def test_refusals_of_one_moment_count_once():
    limits = Limits(None, None)
    tickets = [limits.let_out(1, 0.0) for _ in range(50)]
    for ticket in tickets:
        limits.note_refusal(ticket, {}, None, 0.1)
    assert limits.pace.rate == 1.0


def test_tokens_are_counted_as_they_were_and_not_as_expected():
    limits = Limits(None, 6000)
    ticket = limits.let_out(100, 0.0)
    assert limits.wait_s(50, 0.0) == pytest.approx(0.5)
    limits.note_answer(ticket, {}, 40, 0.0)
    assert limits.wait_s(50, 0.0) == 0


def test_a_request_larger_than_the_bucket_waits_until_so_much_has_flowed_in():
    bucket = Bucket.full(60, 10, 0.0)
    assert bucket.wait_s(30, 0.0) == pytest.approx(20)
    assert bucket.wait_s(30, 20.0) == 0
    assert Bucket.full(60, 10, 0.0).wait_s(1000, 0.0) == pytest.approx(50)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("6m0s", 360),
        ("1s", 1),
        ("1h2m3.5s", 3723.5),
        ("12", 12),
        ("soon", None),
        ("-3", 0),
        ("nan", None),
        ("1e999", None),
    ],
)
def test_durations_are_read_as_openai_writes_them(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90),
        ({"retry-after": "never"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 +99999999999999999999"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_milliseconds_seconds_or_a_date(headers, seconds):
    assert retry_after_s(headers, 10.0) == seconds


@pytest.mark.parametrize("lie", ["-5", "nan", "many", "1e999", ""])
def test_a_server_that_lies_about_its_limit_stops_nothing(lie):
    limits = Limits(None, None)
    ticket = limits.let_out(1, 0.0)
    headers = {f"x-ratelimit-{what}-{name}": lie for what in ("limit", "remaining") for name in ("requests", "tokens")}
    limits.note_answer(ticket, headers, 1, 0.1)
    assert limits.wait_s(1, 0.2) <= 60
