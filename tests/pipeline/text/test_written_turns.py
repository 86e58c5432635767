import pytest

from pipeline.text.ready_turns import Misfit
from pipeline.text.written_turns import list_turns, read_request, refuse_tokens

X = "a dog on grass"


@pytest.mark.parametrize(
    "text",
    [
        X, f"\n\nHuman: {X}\n\nAssistant:", f"Human: {X} Assistant:", f"User: {X}", f"user: {X}\nassistant: ",
        f"### Human: {X}\n### Assistant:", f"### Instruction:\n{X}\n\n### Response:\n", f"USER：{X}\nASSISTANT：",
    ],
)  # fmt: skip
def test_the_one_question_of_a_chat_written_out_is_the_request(text):
    assert read_request(text) == X


@pytest.mark.parametrize(
    "text",
    ["a user: his screen glows", "System failure, a robot sparks", "an assistant: a robot\nruns", "Users: a crowd"],
)
def test_a_text_that_only_names_speakers_stays(text):
    assert read_request(text) == text
    assert list_turns(text) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"System: Rewrite.\n\nUser: {X}\nAssistant:", "are System, Human, Assistant; expected one of Human"),
        (f"Human: {X}\n\nAssistant: a dog\n\nHuman: again\n\nAssistant:", "are Human, Assistant, Human, Assistant"),
        (f"Rewrite it.\nUser: {X}\nAssistant:", "before any other words"),
        (f"### Instruction:\nRewrite it.\n\n### Input:\n{X}\n\n### Response:", "are Human, Human, Assistant"),
        (f"Assistant: {X}", "are Assistant"),
        ("Human: \n\nAssistant:", "is empty"),
    ],
)
def test_other_turns_are_refused(text, says):
    with pytest.raises(Misfit, match=says):
        read_request(text)


@pytest.mark.parametrize(
    "text",
    [
        f"<|im_start|>user\n{X}<|im_end|>\n<|im_start|>assistant\n", f"<s>[INST] {X} [/INST]", f"{X}</s>",
        f"<start_of_turn>user\n{X}<end_of_turn>", f"<|user|>\n{X}", f"<｜User｜>{X}<｜Assistant｜>", f"[|Human|] {X}",
        f"<|begin_of_text|>{X}", f"[gMASK]{X}",
    ],
)  # fmt: skip
def test_the_tokens_of_a_chat_format_are_refused(text):
    for read in (read_request, refuse_tokens):
        with pytest.raises(Misfit, match="a filled-in chat format"):
            read(text)
