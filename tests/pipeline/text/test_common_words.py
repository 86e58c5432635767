import pytest

from pipeline.text.common_words import find_instruction

QUERIES = ("a dog on grass", "two cats", "an old mill by the sea")


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("Write a video prompt for {}", "Write a video prompt for"),
        ("Expand into a video prompt\n{}", "Expand into a video prompt"),
        ("{}\n\nExpand this into a video prompt.", "Expand this into a video prompt."),
        ("Turn this into a film: {}", "Turn this into a film:"),
        ("为以下内容写一个视频提示词：{}", "为以下内容写一个视频提示词："),
        ("{} (please write a detailed prompt)", "(please write a detailed prompt)"),
        ("Some words of ours\n{}", "Some words of ours"),
        ("Напиши промпт для видео про {}", "Напиши промпт для видео про"),
    ],
)
def test_words_that_all_requests_share_are_an_instruction(form, found):
    assert find_instruction([form.format(query) for query in QUERIES]) == found


@pytest.mark.parametrize(
    "requests",
    [
        QUERIES, ("a dog",) * 5, [f"Write a video prompt for {query}" for query in QUERIES[:2]],
        ["a dog runs on green grass", "a dog runs on wet sand", "a dog runs on snow"],
        [f"{query}, cinematic lighting, 4k, highly detailed" for query in QUERIES],
        ["Camera: a dog", "Camera: a cat", "Camera: a hen"],
    ],
)  # fmt: skip
def test_queries_that_are_alike_are_none(requests):
    assert find_instruction(requests) is None


def test_a_beginning_that_many_requests_share_is_no_chance():
    assert find_instruction([f"kindly show me a {n} dog" for n in "abcdefghij"]) == "kindly show me a"
