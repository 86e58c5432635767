import pytest

from pipeline.llm.policy_answers import read_policy_outcome
from schemas.base import Provenance

BY = Provenance(backend="transformers", model="sft", revision="0")


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("<think>\n\n</think>\n\nA dog runs.", "A dog runs.", None),
        ("[[start]] A cat. [[end]] or [[start]] A dog. [[end]] Enjoy!", "A dog.", None),
        ("[[start]] A dog runs.", "A dog runs.", None),
        ("<think>only this", None, "empty"),
        ("I'm sorry, but I can't assist", None, "refused"),
        ("[[start]] I can't help with that. [[end]]", None, "refused"),
        ("I am happy to help!", None, "unparsed"),
        ("A d\ufffdg", None, "garbled"),
    ],
)
def test_a_policys_answer_is_cleaned_and_typed_as_a_teachers(text, value, reason):
    outcome = read_policy_outcome(text, BY)
    assert (outcome.value, outcome.reason, outcome.by) == (value, reason, BY)


def test_the_detail_says_what_the_policy_wrote_without_its_controls():
    assert read_policy_outcome("I am happy to help!\x1b[2J", BY).detail == "chatter: I am happy to help!"
