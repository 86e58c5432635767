import json

import pytest

from pipeline.runtime.store import Store, store_key
from vpo.planning.tokens import OUTPUT_TOKENS, TOKENS_PER_CHARACTER, Tokens

HOST = "api.example.org"


def put(store, text, tokens, model="m"):
    request = {"host": HOST, "body": {"model": model, "messages": [{"role": "user", "content": text}]}}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    store.put(store_key("teacher", **request), "teacher", request, {"status": 200, "body": {"usage": usage}})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_model_that_never_answered_has_assumed_tokens_and_says_so(store):
    put(store, "a" * 100, (50, 20), model="another")
    notes = []
    tokens = Tokens(store, HOST, "m").of("critique", 3, 1000, notes.append)
    assert tokens == (1000 * TOKENS_PER_CHARACTER, 3 * OUTPUT_TOKENS["critique"])
    assert len(notes) == 2 and all("assumed" in note for note in notes)


def test_a_model_that_answered_has_its_own(store):
    for number, tokens in enumerate([(50, 20), (50, 40)]):
        put(store, f"{number}" * 100, tokens)
    seen, notes = Tokens(store, HOST, "m"), []
    assert seen.of("again", 3, 1000, notes.append) == (500, 90)
    assert notes == ["30 output tokens a again: mean of 2 answers in the store"]
    # of another task at least the input is measured
    assert seen.of("critique", 1, 1000, notes.append) == (500, OUTPUT_TOKENS["critique"])


def test_an_answer_without_usage_is_passed_over(store):
    request = {"host": HOST, "body": {"model": "m", "messages": []}}
    store.put(store_key("teacher", **request), "teacher", request, json.loads('{"status": 200, "body": {}}'))
    assert Tokens(store, HOST, "m").answers == {}


def test_input_is_the_median_share_and_output_the_mean_of_the_newest_answers_of_the_same_host(store):
    for number, tokens in enumerate([(10, 10), (20, 20), (90, 60)]):
        put(store, f"{number}" * 100, tokens)
    seen, notes = Tokens(store, HOST, "m"), []
    assert seen.of("again", 2, 1000, notes.append) == (1000 * 0.2, 2 * 30)
    assert seen.answers == {"again": 3, "": 3} and notes == ["30 output tokens a again: mean of 3 answers in the store"]
    assert Tokens(store, "elsewhere", "m").answers == {}


def test_what_is_assumed_of_each_task_is_said():
    assert OUTPUT_TOKENS == {
        "recheck": 60, "fewshot": 180, "critique": 220, "refine": 260, "again": 200, "rollout": 180,
    }  # fmt: skip
