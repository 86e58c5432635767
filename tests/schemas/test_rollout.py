import pytest

from schemas.fewshot import Fewshot
from schemas.rollout import Rollout, prompt_class


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("data/sft/fewshot.jsonl", Fewshot),
        ("data/dpo/rollout.jsonl", Rollout),
        ("data/eval/test/dpo/rollout.jsonl", Rollout),
    ],
)
def test_a_file_of_prompts_is_named_by_the_stage_that_wrote_it(path, row):
    assert prompt_class(path) is row


def test_another_name_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="data/prompts.jsonl: .*such as fewshot or rollout"):
        prompt_class("data/prompts.jsonl")
