from itertools import count, islice

from pipeline.runtime.paid_once import buy_missing


def ask(items, known, seen, most_waiting=None):
    def buy(missing):
        for item in missing:
            seen.append(item)
            yield f"bought {item}"

    return buy_missing(items, known.get, buy, most_waiting)


def test_answers_come_in_the_order_of_the_items_whoever_gave_them():
    known, seen = {2: "known 2", 3: "known 3", 5: "known 5"}, []
    answers = list(ask(range(1, 6), known, seen))
    assert answers == [(1, "bought 1"), (2, "known 2"), (3, "known 3"), (4, "bought 4"), (5, "known 5")]
    assert seen == [1, 4]


def test_nothing_is_bought_when_all_is_known():
    known, seen = {at: str(at) for at in range(3)}, []
    assert list(ask(range(3), known, seen)) == [(0, "0"), (1, "1"), (2, "2")] and seen == []


def test_answers_flow_before_the_items_end():
    assert list(islice(ask(count(), {}, []), 2)) == [(0, "bought 0"), (1, "bought 1")]


def test_a_backend_may_work_ahead():
    def buy(missing):
        yield from [f"bought {item}" for item in list(missing)]

    assert [answer for _, answer in buy_missing("abc", {"b": "known"}.get, buy)] == ["bought a", "known", "bought c"]


def test_so_many_known_answers_may_wait_for_the_next_that_is_bought():
    known, seen = {at: str(at) for at in range(1, 10)}, []
    flow = ask(range(12), known, seen, most_waiting=4)
    assert next(flow) == (0, "bought 0")
    assert [next(flow) for _ in range(4)] == [(at, str(at)) for at in range(1, 5)] and seen == [0]
    assert [item for item, _ in flow] == list(range(5, 12)) and seen == [0, 10, 11]
