import asyncio

import pytest

from pipeline.llm.calls.together import Together


def test_what_is_awaited_in_one_turn_is_done_in_one_go():
    heaps = []

    def double(items):
        heaps.append(items)
        return [2 * item for item in items]

    async def run():
        together = Together(double)
        first = await asyncio.gather(*(together(item) for item in range(5)))
        return [*first, await together(5)]

    assert asyncio.run(run()) == [0, 2, 4, 6, 8, 10]
    assert heaps == [[0, 1, 2, 3, 4], [5]]


def test_a_fault_reaches_all_who_wait():
    def fail(items):
        raise OSError("disk full")

    async def run():
        together = Together(fail)
        return await asyncio.gather(together(1), together(2), return_exceptions=True)

    assert [str(fault) for fault in asyncio.run(run())] == ["disk full"] * 2


def test_a_result_too_few_is_an_error():
    async def run():
        await asyncio.wait_for(Together(lambda items: [])(1), 0.5)

    with pytest.raises((ValueError, TimeoutError)):
        asyncio.run(run())
