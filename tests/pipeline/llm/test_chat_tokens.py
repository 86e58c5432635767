import pytest

from pipeline.llm.chat_tokens import clean_reply

FILM = "A dog runs over the grass."


@pytest.mark.parametrize(
    "form",
    [
        "<think>hm</think>{}", "<Think>hm</THINK> {}", "<think type='x'>hm</think>{}", "<seed:think>hm</seed:think>{}",
        "<|thinking|>hm<|/thinking|>{}", "<|begin_of_thought|>hm<|end_of_thought|>{}", "[THINK]hm[/THINK]{}",
        "<inner_monologue>hm</inner_monologue>{}", "<cot>hm</cot>{}", "<unused94>thought\nhm<unused95>{}",
        '<details type="reasoning">hm</details>{}', "<plan>hm</plan>{}", "◁think▷hm◁/think▷{}", "{}<think>more",
        "analysisThe user wants a dog.assistantfinal{}",
        "<|channel|>final <|constrain|>json<|message|>{}<|return|>",
    ],
)  # fmt: skip
def test_thinking_goes_in_every_spelling(form):
    assert clean_reply(form.format(FILM)) == FILM


@pytest.mark.parametrize(
    "form",
    [
        "{}<end_of_utterance>", "{}<turn|>", "<|turn>model\n{}<turn|>", "<extra_id_1>Assistant\n{}", "{}[EOS]",
        "{}<EOT>", "[|assistant|]{}[|endofturn|]", "{}[PAD]", "{}<|im_end>", "{}|im_end|>", "{}<|im_end",
        "[gMASK]<sop>{}",
        "[gMASK] sop {}", "<_bot>{}<_end>", "{}<reserved_106>", "{}＜|eot_id|＞", "{}‹|eot_id|›", "{}<unused12>",
        "{}[e~[",
        "{}<minimax:tool_call>", "{}<fim_prefix>", "<SPECIAL_36>{}", "{}<\u200b|eot_id|>", "{}<|endoftext|>Human: x",
    ],
)  # fmt: skip
def test_chat_tokens_of_every_family_go_and_what_is_behind_them(form):
    assert clean_reply(form.format(FILM)) == FILM


@pytest.mark.parametrize(
    "form",
    [
        "<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\na cat<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\na cat<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{}",
        "<s>[INST] a cat [/INST] {}</s>", "<bos><start_of_turn>user\na cat<end_of_turn>\n<start_of_turn>model\n{}",
        "<|user|>\na cat<|assistant|>\n{}", "<｜User｜>a cat<｜Assistant｜>{}",
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>a cat<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{}",
    ],
)  # fmt: skip
def test_a_conversation_that_is_repeated_is_no_answer(form):
    assert clean_reply(form.format(FILM)) == FILM
    assert clean_reply(form.partition("{}")[0]) == ""


def test_what_another_turn_says_behind_the_answer_is_none():
    assert clean_reply(f"{FILM}<|im_end|>\n<|im_start|>user\na cat<|im_end|>\n<|im_start|>assistant\nA cat.") == FILM


def test_a_question_alone_that_is_repeated_leaves_nothing():
    assert clean_reply("<|im_start|>user\na cat<|im_end|>") == ""


@pytest.mark.parametrize(
    "form",
    ["\x1b[31m{}\x1b[0m", "\x1b[1;38;5;9m{}\x1b[K", "\x1b]0;title\x07{}", "\x9b2J{}", "\x1b]8;;http://a\x1b\\{}"],
)
def test_what_colours_a_terminal_leaves_no_letters_behind(form):
    assert clean_reply(form.format(FILM)) == FILM


def test_a_byte_by_its_name_cuts_no_text():
    assert clean_reply("A dog<0xE2><0x80><0x99>s tail<0x0A>wags") == "A dog\ufffd\ufffd\ufffds tail\nwags"


@pytest.mark.parametrize(
    "text",
    [
        "analysis of a crime scene, an assistant final touches the tape.",
        "analysis of a stage: the assistant\nfinal bow of a dancer",
    ],
)
def test_a_film_of_an_analysis_is_no_channel(text):
    assert clean_reply(text) == text


@pytest.mark.parametrize("text", ["20 < 30 and 40 > 30", "<3 hearts", "a plan: b|c", "[a] and [b]", "dog[s] run"])
def test_signs_of_a_text_are_no_tokens(text):
    assert clean_reply(text) == text
