import asyncio

import pytest

from pipeline.llm.calls.deadlines import DOUBT, LEAST_DEADLINE_S, LEAST_SEEN, MARGIN, SLOW, WATCH_S, Deadlines

OF_FEW = MARGIN + DOUBT / LEAST_SEEN


def watch_once(deadlines, waited_s=0.0, late=0):
    """Return the seconds that a request sent now may take, when the watch has looked at it beside `late` old ones."""

    async def hang(sent_at):
        async with deadlines.within(0.0, sent_at):
            await asyncio.sleep(60)

    async def look():
        sent_at = asyncio.get_running_loop().time()
        old = [asyncio.create_task(hang(sent_at - 1000)) for _ in range(late)]
        await asyncio.sleep(0)
        others = {*deadlines.open}
        watching = asyncio.create_task(deadlines.watch())
        async with deadlines.within(waited_s, sent_at):
            (timeout,) = deadlines.open.keys() - others
            await asyncio.sleep(1.2 * WATCH_S)
            for task in (watching, *old):
                task.cancel()
            return timeout.when() - sent_at

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("latencies", "waited_s", "deadline_s"),
    [
        ([1.0] * (LEAST_SEEN - 1), 0.0, 60.0),  # too few to know what is usual
        ([2.0] * LEAST_SEEN, 0.0, OF_FEW * 2.0),
        ([1.0] * 399 + [8.0], 0.0, (MARGIN + DOUBT / 400) * 8.0),
        ([0.01] * LEAST_SEEN, 0.0, LEAST_DEADLINE_S),
        ([0.01] * LEAST_SEEN, 3.0, 6.0),
        ([2.0] * LEAST_SEEN, 0.1, OF_FEW * 2.0),  # an attempt that failed fast moves nothing
        ([50.0] * LEAST_SEEN, 0.0, 60.0),
        ([2.0] * LEAST_SEEN, 50.0, 60.0),
    ],
)
def test_a_deadline_follows_the_slowest_answer_and_what_was_waited_for(latencies, waited_s, deadline_s):
    deadlines = Deadlines(60.0)
    for took_s in latencies:
        deadlines.note_latency(took_s)
    assert watch_once(deadlines, waited_s) == pytest.approx(deadline_s, abs=0.01)


@pytest.mark.parametrize(("late", "deadline_s"), [(2, OF_FEW * 2.0), (3, SLOW * 2.0)])
def test_where_several_are_late_at_once_the_host_is_slow_and_no_request_hangs(late, deadline_s):
    deadlines = Deadlines(60.0)
    for _ in range(LEAST_SEEN):
        deadlines.note_latency(2.0)
    assert watch_once(deadlines, late=late) == pytest.approx(deadline_s, abs=0.01)


def test_after_a_hundred_answers_no_request_has_twice_the_time_of_the_slowest():
    deadlines = Deadlines(600.0)
    for number in range(100):
        deadlines.note_latency(1.0 + number / 10)
    assert watch_once(deadlines) < 2 * 10.9


def test_a_request_that_hangs_is_ended():
    async def hang():
        deadlines = Deadlines(0.05)
        async with deadlines.within(0.0, 0.0):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(hang())
