import random

import pytest

from tests.support import tiny_policy
from train.tokenizer import train_tokenizer
from train.trl_rows import to_user_turn

pytestmark = pytest.mark.slow

SOUP = [
    "a fox 🦊 and a family 👨‍👩‍👧‍👦",
    "一只红色的狐狸,在雪地里",
    "two\nlines\n\nand a gap\n indented",
    " leading, trailing \t and\x00odd bytes\x7f",
    "café\u0301 naïve\u200b ﷽ \ufffd",
    "'quotes' \"and\" -- dashes... $5 <b>",
    "a fox , a cat . don 't ! why ?",
]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize("text", SOUP)
def test_the_tokenizer_gives_every_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_tokenizer_gives_random_unicode_back(tokenizer):
    draw = random.Random(0)
    for _ in range(200):
        signs = [draw.choice([draw.randrange(32, 127), draw.randrange(0xD800), draw.randrange(0xE000, 0x110000), 10])
                 for _ in range(draw.randrange(1, 12))]  # fmt: skip
        text = "".join(map(chr, signs))
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_word_is_the_same_tokens_wherever_it_stands(tokenizer):
    first, a, inside, line = (tokenizer(text)["input_ids"] for text in ("unheardof", "a", "a unheardof", "\nunheardof"))
    assert len(first) > 1
    assert inside == a + first
    assert line[-len(first) :] == first


def test_the_chat_format_begins_with_one_bos_and_ends_each_turn(tokenizer, tiny_params):
    turns = to_user_turn("a fox", tiny_policy.template(tiny_params))
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids


def test_a_word_that_stands_three_times_is_one_token_and_a_rarer_one_stays_in_pieces():
    texts = ["zebra quagga"] * 2 + ["zebra"]
    tokenizer = train_tokenizer(texts, 1000)
    assert len(tokenizer.tokenize("zebra")) == 1 and len(tokenizer.tokenize("quagga")) > 1
