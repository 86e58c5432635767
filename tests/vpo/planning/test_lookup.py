import pytest

from pipeline.llm.calls.engine import answer_key
from pipeline.runtime.store import Store
from schemas.base import content_id
from schemas.seams import Outcome
from tests.support.llm_echo import conversations, parse
from tests.support.params import with_values
from vpo.planning.lookup import Calls, Counted, Lookup, Planned, is_paid, n_characters, task


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def paid(laptop):
    return with_values(laptop.teacher, backend="openai", model="m", base_url="http://127.0.0.1:9/v1")


def planned_teacher(params, laptop, store, planned=None, suppose=lambda sample: None):
    return Planned(params, laptop.world, store, set() if planned is None else planned, suppose)


def test_only_what_an_endpoint_answers_is_paid(laptop, paid):
    assert is_paid(paid) and not is_paid(laptop.teacher)


def test_a_missing_answer_is_noted_once_and_an_earlier_stage_will_have_bought_it(laptop, paid, store):
    planned = set()
    first, second = (planned_teacher(paid, laptop, store, planned) for _ in range(2))
    outcomes = list(first.map(conversations(2) + conversations(1), parse))
    assert [outcome.detail for outcome in outcomes] == ["not bought yet"] * 3
    assert (len(first.calls.missing), first.calls.stored) == (2, {})
    list(second.map(conversations(3), parse))
    assert (len(second.calls.missing), len(second.calls.stored)) == (1, 2)


def test_what_the_store_has_is_not_missing(paid, store):
    body = {"model": "m", "messages": conversations(1)[0]}
    lookup = Lookup(paid, store, calls := Calls(), set())
    key = answer_key("teacher", lookup.host, body, 0)
    store.put(key, "teacher", {}, {"status": 200, "body": {}})
    (answer,) = lookup.map([body], lookup.answer)
    assert answer.stored == {"status": 200, "body": {}} and answer.why == ""
    assert (list(calls.stored), calls.missing) == ([key], {})


def test_what_is_supposed_stands_in_for_what_is_not_bought(laptop, paid, store):
    teacher = planned_teacher(paid, laptop, store, suppose=lambda sample: "supposed" if sample else None)
    assert [outcome.value for outcome in teacher.map(conversations(1), parse)] == [None]
    assert [outcome.value for outcome in teacher.map(conversations(1), parse, sample=1)] == ["supposed"]
    assert teacher.calls.supposed == 1


def test_a_question_that_would_wait_is_an_error(paid, store):
    class Later:
        def __await__(self):
            yield

    async def ask(item):
        await Later()

    with pytest.raises(RuntimeError, match="nothing to wait for"):
        list(Lookup(paid, store, Calls(), set()).map([1], ask))


def test_a_message_of_no_task_is_a_second_try():
    messages = [{"role": "user", "content": "Once more, please."}]
    assert (task(messages), n_characters(messages)) == ("again", 18)


def test_what_a_free_teacher_is_asked_is_noted_by_question_and_sample(laptop):
    class Echo:
        def map(self, conversations, parse, template=None, sample=0):
            return (Outcome(value=messages[0]["content"]) for messages in conversations)

    counted = Counted(Echo(), calls := Calls(), "refine")
    assert [outcome.value for outcome in counted.map(conversations(2), parse)] == ["query 0", "query 1"]
    list(counted.map(conversations(1), parse))
    list(counted.map(conversations(1), parse, sample=1))
    assert sorted(calls.missing.values()) == [("refine", 7)] * 3
    assert content_id(conversations(1)[0], 0) in calls.missing
