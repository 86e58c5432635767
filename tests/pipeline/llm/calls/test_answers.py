import pytest

from pipeline.llm.calls.answers import Answer, find_fault, read_answers, read_usage


def choice(content="a dog", index=0, finish="stop", **message):
    return {"index": index, "finish_reason": finish, "message": {"role": "assistant", "content": content} | message}


@pytest.mark.parametrize(
    ("body", "n"),
    [
        ([], 1),
        ({}, 1),
        ({"choices": []}, 1),
        ({"choices": None}, 1),
        ({"choices": [choice(), choice(index=1)]}, 1),
        ({"choices": [choice(), choice()]}, 2),
        ({"choices": [choice()]}, 2),
        ({"choices": [{"index": 0}]}, 1),
        ({"choices": [choice(content=["a"])]}, 1),
        ({"choices": [choice(content="half \ud83d")]}, 1),
        ({"choices": [choice(refusal=True)]}, 1),
        ({"choices": ["text"]}, 1),
    ],
)
def test_what_is_no_sound_completion_is_told(body, n):
    assert find_fault(body, n)


def test_choices_are_read_by_their_index():
    body = {"model": "m-1", "choices": [choice("two", 1), choice("one", 0)]}
    assert find_fault(body, 2) is None
    assert read_answers({"status": 200, "body": body}) == [Answer("one", model="m-1"), Answer("two", model="m-1")]


def test_choices_numbered_now_in_words_and_now_in_figures_are_read():
    body = {"choices": [choice("two", 1), choice("one", "0")]}
    assert find_fault(body, 2) is None
    assert [answer.text for answer in read_answers({"status": 200, "body": body})] == ["one", "two"]


@pytest.mark.parametrize("model", [None, 7, {"id": "m"}, "m-\ud83d"])
def test_a_model_that_is_no_text_is_none(model):
    assert read_answers({"status": 200, "body": {"model": model, "choices": [choice()]}})[0].model == ""


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (choice("", refusal="No."), "refused"),
        (choice("a do", finish="length"), "truncated"),
        (choice(None, finish="content_filter"), "content_filter"),
        (choice(" \n"), "empty"),
        (choice(None), "empty"),
        (choice("fine"), None),
    ],
)
def test_an_answer_without_a_usable_text_has_its_reason(given, reason):
    assert read_answers({"status": 200, "body": {"choices": [given]}})[0].reason == reason


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4)),
        ({"prompt_tokens": 3}, (3, 0)),
        ({"prompt_tokens": -3, "completion_tokens": 4}, None),
        ({"prompt_tokens": "3"}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 10**30}, None),
        (None, None),
        ([], None),
    ],
)
def test_tokens_are_counted_only_where_the_server_tells_them(told, tokens):
    assert read_usage({"usage": told}) == tokens


@pytest.mark.parametrize(
    ("finish", "content", "reason"),
    [
        ("sensitive", "[[start]] A dog runs over. [[end]]", "content_filter"),
        ("sensitive", "", "content_filter"),
        ("network_error", "[[start]] A dog runs over. [[end]]", "unparsed"),
        ("stop", "<think>Draft: [[start]] draft dog [[end]] hmm, that is not final", "empty"),
        ("stop", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A dog."}], None),
    ],
)
def test_an_answer_that_did_not_end_well_is_set_aside(finish, content, reason):
    body = {"choices": [{"index": 0, "finish_reason": finish, "message": {"content": content}}]}
    (answer,) = read_answers({"status": 200, "body": body})
    assert answer.reason == reason and (reason or answer.text == "A dog.")
