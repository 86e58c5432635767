"""On the templates of real models' tokenizers."""

import pytest

from pipeline.llm.chat_format import OURS, find_stop, prepare_tokenizer, split_format
from pipeline.runtime.io import DataError
from tests.support.chat_models import families, make_tokenizer, shipped

pytestmark = pytest.mark.slow  # loads torch
NAMES = ["gemma3", "llama3", "llama3.2", "mistral", "qwen2.5", "qwen3", "smollm2"]
USER = [{"role": "user", "content": "a dog"}]
ANSWER = [{"role": "assistant", "content": "A dog runs."}]


def prepared(name, ours=None, template="its own"):
    tokenizer = make_tokenizer(families()[name], template)
    prepare_tokenizer(tokenizer, ours, name)
    return tokenizer


def ids_of(tokenizer, turns, **options):
    return tokenizer.apply_chat_template(turns, return_dict=False, **options)


def test_every_family_is_tested():
    assert sorted(families()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_chat_begins_as_its_prompt_and_ends_with_the_familys_token(name):
    tokenizer, family = prepared(name), families()[name]
    prompt = ids_of(tokenizer, USER, add_generation_prompt=True)
    whole = ids_of(tokenizer, USER + ANSWER)
    assert whole[: len(prompt)] == prompt
    answer = tokenizer.decode(whole[len(prompt) :])
    assert answer.strip() == f"A dog runs.{family.stop}"
    assert find_stop(tokenizer) == tokenizer.convert_tokens_to_ids(family.stop)


@pytest.mark.parametrize("name", NAMES)
def test_a_chat_holds_one_first_token(name):
    tokenizer = prepared(name)
    bos = tokenizer.bos_token_id
    assert ids_of(tokenizer, USER + ANSWER).count(bos) == (bos is not None)


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_token_to_pad_with(name):
    tokenizer, family = prepared(name), families()[name]
    assert tokenizer.pad_token == (family.pad or family.eos)


def test_an_answer_follows_an_empty_think_block_that_the_prompt_holds():
    before = make_tokenizer(families()["qwen3"])
    assert "think" not in before.apply_chat_template(USER, add_generation_prompt=True, tokenize=False)
    tokenizer = prepared("qwen3")
    prompt = tokenizer.apply_chat_template(USER, add_generation_prompt=True, tokenize=False)
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    with_thinking = tokenizer.apply_chat_template(
        USER, add_generation_prompt=True, tokenize=False, enable_thinking=True
    )
    assert with_thinking == prompt


def test_a_prompt_is_the_same_on_every_day():
    tokenizer = prepared("llama3.2")
    prompt = tokenizer.apply_chat_template(USER, add_generation_prompt=True, tokenize=False)
    assert "Today Date: 26 Jul 2024" in prompt
    assert make_tokenizer(families()["llama3.2"]).apply_chat_template(USER, tokenize=False) not in prompt


@pytest.mark.parametrize("name", NAMES)
def test_what_is_prepared_twice_or_saved_and_read_is_prepared_once(name, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = prepared(name)
    once = tokenizer.chat_template
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    prepare_tokenizer(again, None, name)
    assert again.chat_template == once
    assert ids_of(again, USER + ANSWER) == ids_of(tokenizer, USER + ANSWER)


def test_a_base_model_is_refused_with_the_name_of_our_format():
    with pytest.raises(
        DataError, match=r"no chat template; .* set base_model.chat_template to plain, a format of ours"
    ):
        prepared("llama3", template=None)


@pytest.mark.parametrize("name", NAMES)
def test_our_format_needs_no_token_but_the_first_and_the_last(name):
    tokenizer = prepared(name, ours="plain", template=None)
    family = families()[name]
    prompt = tokenizer.apply_chat_template(USER, add_generation_prompt=True, tokenize=False)
    assert prompt == f"{family.bos or ''}Instruction:\na dog\n\nAnswer:\n"
    whole = ids_of(tokenizer, USER + ANSWER)
    assert whole[: len(ids_of(tokenizer, USER, add_generation_prompt=True))] == ids_of(
        tokenizer, USER, add_generation_prompt=True
    )
    assert find_stop(tokenizer) == tokenizer.eos_token_id and whole.count(tokenizer.eos_token_id) == 1
    assert tokenizer.chat_template == OURS["plain"]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (
            "{{ messages[0]['content'] }}{% if add_generation_prompt %}<think>\n{% endif %}",
            "other words before an answer",
        ),
        ("{% for m in messages %}{{ m['content'] }}\n<think>\n{% endfor %}", "begin with thinking"),
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "no end behind an answer"),
    ],
)
def test_a_format_that_cannot_be_trained_is_refused(template, says):
    with pytest.raises(DataError, match=says):
        prepared("llama3", template=template)


def test_a_model_that_always_thinks_is_refused():
    with pytest.raises(DataError, match="qwen2.5: its chat template"):
        prepared("qwen2.5", template=shipped("deepseek_r1_distill"))


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = make_tokenizer(families()["llama3"])
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="no token that ends a text"):
        prepare_tokenizer(tokenizer, None, "m")


def test_what_stands_around_an_answer_is_told():
    assert split_format(prepared("qwen2.5"), "m")[1] == "<|im_end|>\n"
