import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.llm.calls.stream import AHEAD, Stream


def make_stream(workers=4, **told):
    async def nothing():
        pass

    begin, end, stop = told.get("begin", nothing), told.get("end", nothing), told.get("stop", lambda: None)
    return Stream(workers, begin, end, stop, told.get("blocked"), told.get("most_held"))


async def double(item):
    await asyncio.sleep(0.001 * (item % 3))
    return 2 * item


def test_results_come_in_input_order():
    assert list(make_stream().map(range(200), double)) == [2 * item for item in range(200)]


def test_never_more_at_once_than_workers():
    now, most = 0, 0

    async def count(item):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    list(make_stream(5).map(range(60), count))
    assert most == 5


def test_a_slow_one_does_not_stop_the_others():
    begun = []

    async def first_is_slow(item):
        begun.append(item)
        while item == 0 and len(begun) < 100:
            await asyncio.sleep(0.001)
        return item

    assert list(make_stream(2).map(range(150), first_is_slow)) == list(range(150))


def test_the_input_is_read_as_it_is_needed():
    read = []

    def items():
        for number in range(100_000):
            read.append(number)
            yield number

    results = make_stream(2).map(items(), double)
    next(results)
    assert len(read) <= AHEAD * 16 + 1
    results.close()


def test_a_map_can_feed_a_map_of_the_same_stream():
    stream = make_stream()
    assert list(stream.map(stream.map(range(50), double), double)) == [4 * item for item in range(50)]


def test_a_fault_is_raised_in_its_place_and_those_in_flight_end_first():
    begun, ended = [], []

    async def third_fails(item):
        begun.append(item)
        while len(begun) < 4:  # the reader may be slow to hand them over
            await asyncio.sleep(0.001)
        if item == 2:
            raise ValueError("third")
        await asyncio.sleep(0.03)
        ended.append(item)
        return item

    results = make_stream(4).map(range(4), third_fails)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="third"):
        next(results)
    assert sorted(ended) == [0, 1, 3]


def test_who_stops_early_waits_for_what_is_in_flight():
    begun, ended, stopped = [], [], []

    async def slow(item):
        begun.append(item)
        while item and not stopped:  # however late the reader comes to close
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05 if item else 0.0)
        ended.append(item)

    results = make_stream(3, stop=lambda: stopped.append(True)).map(range(1000), slow)
    next(results)
    results.close()
    assert sorted(ended) == sorted(begun)
    assert len(ended) <= 4
    assert stopped == [True]


def test_begin_and_end_are_awaited_in_the_loop_and_no_thread_stays():
    seen = []

    async def begin():
        seen.append("begin")

    async def end():
        seen.append("end")

    before = set(threading.enumerate())
    stream = make_stream(begin=begin, end=end)
    assert list(stream.map([], double)) == []
    assert list(stream.map([1], double)) == [2]
    assert seen == ["begin", "end"] * 2
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("failing", ["begin", "end"])
def test_no_thread_stays_when_the_begin_or_the_end_fails(failing):
    async def fail():
        raise OSError("disk full")

    before = set(threading.enumerate())
    with pytest.raises(OSError, match="disk full"):
        list(make_stream(**{failing: fail}).map([1], double))
    assert set(threading.enumerate()) <= before


LEFT_OPEN = """
import sys
sys.path.insert(0, sys.argv[1])
from test_stream import double, make_stream

async def end():
    print("ended", flush=True)

def consume(results):
    next(results)
    raise OSError("disk full")

consume(make_stream(end=end).map(range(1000), double))
"""


def test_a_process_that_fails_with_a_map_left_open_ends_it_and_exits(root):
    # the traceback, which is kept until the interpreter ends, holds the map
    command = [sys.executable, "-c", LEFT_OPEN, str(Path(__file__).parent)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (1, "ended\n")
    assert done.stderr.endswith("OSError: disk full\n")


def test_a_map_is_blocked_when_it_holds_all_it_may_and_not_while_results_are_taken():
    waiting, held = [], []

    def look():
        if stream.blocked_maps:
            stream.loop.call_soon(answer_all)  # after those that begin now
        else:  # the reader may be slow
            stream.loop.call_later(0.005, look)

    def answer_all():
        held.append(len(waiting))
        for future in waiting:
            future.set_result(None)
        waiting.clear()

    async def wait(item):
        waiting.append(asyncio.get_running_loop().create_future())
        if len(waiting) == 1:
            stream.loop.call_later(0.005, look)
        await waiting[-1]
        return item

    stream = make_stream(8, blocked=lambda: None, most_held=8)
    seen = []
    for item in stream.map(range(24), wait):
        assert not stream.blocked_maps
        seen.append(item)
    assert seen == list(range(24))
    assert held == [8, 8, 8]
