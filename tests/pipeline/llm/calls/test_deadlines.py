import asyncio

import pytest

from pipeline.llm.calls.deadlines import LEAST_DEADLINE_S, LEAST_SEEN, SLOW, WATCH_S, Deadlines


def watch_once(deadlines, attempt=0):
    """Return the seconds that a request sent now may take, when the watch has looked at it."""

    async def look():
        loop = asyncio.get_running_loop()
        watching = asyncio.create_task(deadlines.watch())
        sent_at = loop.time()
        async with deadlines.within(attempt, sent_at):
            await asyncio.sleep(1.2 * WATCH_S)
            (timeout,) = deadlines.open
            watching.cancel()
            return timeout.when() - sent_at

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("latencies", "attempt", "deadline_s"),
    [
        ([1.0] * (LEAST_SEEN - 1), 0, 60.0),  # too few to know what is usual
        ([2.0] * LEAST_SEEN, 0, SLOW * 2.0),
        ([0.01] * LEAST_SEEN, 0, LEAST_DEADLINE_S),
        ([0.01] * LEAST_SEEN, 1, 2 * LEAST_DEADLINE_S),
        ([30.0] * LEAST_SEEN, 0, 60.0),
    ],
)
def test_a_deadline_follows_what_is_usual(latencies, attempt, deadline_s):
    deadlines = Deadlines(60.0)
    for took_s in latencies:
        deadlines.note_latency(took_s)
    assert watch_once(deadlines, attempt) == pytest.approx(deadline_s, abs=0.01)


def test_a_request_that_hangs_is_ended():
    async def hang():
        deadlines = Deadlines(0.05)
        async with deadlines.within(0, 0.0):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(hang())
