import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.llm.model_text import (
    clean_prompt,
    clean_reply,
    find_talk,
    has_words,
    is_garbled,
    read_prompt,
    read_reason,
)
from schemas.reasons import Reason
from schemas.seams import Unparsed

# written here by itself, so that the module's own idea of a token is not what it is measured by
TOKEN = regex.compile(
    r"<[|｜][^<>|｜]*[|｜]?>|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn|end_of_utterance|eop|unused\d+)>"
    r"|\[/?INST\]|<</?SYS>>|</?think(?:ing)?>|\[\[ ?(?:start|end) ?\]\]|<\w+\|>|\[\|\w*\|\]|\[gMASK\]|＜\|\w*\|＞",
    regex.I,
)
PIECES = [
    "A dog", " runs", ".", "\n", "\n\n", " ", "<think>", "</think>", "<|eot_id|>", "<|im_start|>", "assistant", "<",
    "|",     "|>", "<|", "s>", "</s>", "<s>",
    "[INST]", "[/INST]", "[", "]", "[[start]]", "[[end]]", "**", "*", "_", "`", "- ",
    "# ", "1. ", "Video Prompt:", "prompt: ", "Sure! ", "Here is the prompt:", '"', "“", "”", "'", "{", "}", "&amp;",
    "&lt;", "&gt;", "&#124;", "amp;", "&", "&quot;", "&#27;", "\u202e", "\u2066", "\u200d", "\u200b", "\ufeff",
    "\x1b[31m",
    "\x00", "\ud83d", "\x9b", "e\u0301", "<b>", "</b>", "<channel>", "<|channel|>", "final", "<|message|>", "犬", "\r",
    "<turn|>", "<end_of_utterance>", "[gMASK]", "<sop>", "[|endofturn|]", "＜|", "|＞", "<unused94>", "analysis",
    "User: ", "Note: ", "### ", "\\n", "\\u0041", "\\", "\\u200b", '{"prompt": "', '"}', "](http://a)", "1. ", "a) ",
    "\u3164", "\u2800", "\U000e0101", "\ufe0f", "<", ">", "<details>", "</details>", "$$", "==", "【", "】", "Okay, ",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=40)


@pytest.mark.slow
@settings(max_examples=6 * settings.default.max_examples)
@given(TEXTS)
def test_any_text_of_a_model_cleaned_twice_is_the_same_as_once(text):
    for clean in (clean_reply, clean_prompt):
        once = clean(text)
        assert clean(once) == once


@settings(max_examples=6 * settings.default.max_examples)
@given(TEXTS)
def test_no_control_bidi_mark_or_chat_token_is_left(text):
    prompt, reply = clean_prompt(text), clean_reply(text)
    assert not TOKEN.search(prompt)
    assert not TOKEN.search(reply.replace("[[start]]", " ").replace("[[end]]", " "))
    assert {unicodedata.category(sign) for sign in prompt} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert {sign for sign in prompt + reply if unicodedata.category(sign) == "Cf"} <= {"\u200c", "\u200d"}
    assert not {*prompt, *reply} & {*"\u3164\u115f\u034f\U000e0101"}
    assert {sign for sign in reply if unicodedata.category(sign) == "Cc"} <= {"\n", "\t"}


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("<think>\n\n</think>\n\nA dog runs over the grass.", "A dog runs over the grass."),
        ("hm, a dog\n</think>\nA dog runs.", "A dog runs."),
        ("**Video Prompt:** A dog runs over the grass.", "A dog runs over the grass."),
        ('"A dog runs over the grass."', "A dog runs over the grass."),
        ("[[start]] A dog runs over the grass. [[end]]", "A dog runs over the grass."),
        ("A dog &amp; a cat run, it&#39;s sunny.", "A dog & a cat run, it's sunny."),
        ("A dog runs.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA dog", "A dog runs."),
        ("<|im_start|>assistant\nA dog runs.<|im_end|>", "A dog runs."),
        ("<｜Assistant｜>A dog runs.<｜end▁of▁sentence｜>", "A dog runs."),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>A dog.", "A dog."),
        ("**A dog** runs on *grass*.\n\n- Camera: pan\n- Light: warm", "A dog runs on grass. Camera: pan Light: warm"),
        ("Sure! Here's the enhanced video prompt:\n\nA dog runs.", "A dog runs."),
        ("1. A dog runs.\n2. A cat sleeps.", "A dog runs. A cat sleeps."),
        ("```text\nA dog runs.\n```", "A dog runs."),
        ("<p>A <b>dog</b> runs.</p>", "A dog runs."),
        ("assistant\n\nA dog runs.", "A dog runs."),
        ("\u202eA dog\u2069 runs.\x1b", "A dog runs."),
        ("cafe\u0301 by the sea", "café by the sea"),
    ],
)  # fmt: skip
def test_what_is_no_part_of_the_film_goes(text, prompt):
    assert read_prompt(text) == prompt


@pytest.mark.parametrize(
    "text",
    [
        '"open" and "shut" signs hang beside a door',
        'a neon sign that says "open"',
        "5 * 3 * 2 dogs, snake_case and 2*3",
        "Scene: a dog runs. Camera: pan.",
        "3. Street at night",
        "a film of the 1920s - grainy, <3 hearts, 20 < 30",
        "I can almost see a dog",
        "نمی‌خواهم یک سگ",
        "👩‍🚀 on the moon",
    ],
)
def test_words_of_the_film_stay(text):
    assert read_prompt(text) == text


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("<think>Draft: [[start]] draft dog [[end]] hmm", "empty"),
        ("\u200d\u200c\u200b", "empty"),
        ("...", "placeholder"),
        ("{your video prompt}", "placeholder"),
        ("(no prompt)", "placeholder"),
        ("Prompt 1: A dog runs.\nPrompt 2: A cat sleeps.", "several"),
        ("I'm sorry, but I can't assist with that.", "refusal"),
        ("**I’m sorry**, I cannot create that.", "refusal"),
        ("As an AI language model, I do not make such films.", "refusal"),
        ("抱歉，我无法满足这个请求。", "refusal"),
        ("I am happy to help!", "chatter"),
        ("Sure! I'd be happy to help you with your video.", "chatter"),
        ("Hello! How can I assist you today?", "chatter"),
        ("A dog \ufffd runs", "garbled"),
        ("Un chien mange la crÃ¨me", "garbled"),
        ("AĠdogĠruns", "garbled"),
        ("a dog â\x80\x9cbarks", "garbled"),
    ],
)
def test_what_is_no_prompt_says_why(text, detail):
    with pytest.raises(Unparsed) as fault:
        read_prompt(text)
    assert fault.value.detail == detail


@pytest.mark.parametrize(
    "text",
    [
        "stars âœ¨ fall", "brandâ„¢ sign", "left â†’ right", "â‚¬5 note", "2Ã—2 dogs", "ÅŸehir at night", "Viá»‡t Nam",
        "ã“ã‚“ã«ã¡ã¯", "ê°œê°€ ë‹¬ë¦°ë‹¤", "à¸ªà¸¸à¸™", "à¤•", "ÙƒÙ„Ø¨", "×›×œ×‘", "ÏƒÎºÏ…", "caf茅", "cafГ©",
        "СЃРѕР±Р°РєР°", "caf├⌐",
        "A Ġdog Ġruns", "##s run ##ning", "d@@ og", "it=E2=80=99s", "ï»¿A dog", "A dog\\xe2\\x80\\x99s",
        "A dog<0xE2>s tail",
        "▁A▁dog",
    ],
)  # fmt: skip
def test_broken_words_of_every_script_are_garbled(text):
    with pytest.raises(Unparsed, match="garbled"):
        read_prompt(text)


@pytest.mark.parametrize(
    "text",
    [
        "The il-Ġgantija temple in Malta", "Ġorġ walks", "▁▂▃▅▇ equalizer on a screen",
        "the \uf8ff logo glows", "a “CAFÉ” sign",
        "ein »MENÜ« und »Spaß«", "a “cliché…” and é…”", "“école” on a door", "NESCAFÉ® cup",
        "Один пёс бежит по траве, Рё",
        "Пес і кіт біжать: «Г»", "一只猫在草地上奔跑", "iPhone手机 and T恤", "สุนัขวิ่ง",
        "Con chó chạy trên cỏ", "věšť, ješť, Příliš žluťoučký",
        "كلب يجري", "כלב רץ", "Ένας σκύλος τρέχει", "犬が走る", "개가 달린다", "Çığ, şehir, ığdır",
        "STRÓŻ, MÓŻDŻEK, żółć", "█▓▒░ bar",
        "5 × 5, 20 °C, ½ ™ ® ©", "a cat 🐱‍👤 ✨", "## dog", "Łódź, Đà Nẵng, Ångström “Å”",
    ],
)  # fmt: skip
def test_words_of_every_script_are_no_broken_ones(text):
    assert not is_garbled(text)


def test_a_reply_keeps_its_lines_and_a_verdict_its_stars():
    assert clean_reply("<think>No\n</think>Step 1\r\n**Final**: Yes\n") == "Step 1\n**Final**: Yes"


def test_joiners_alone_say_nothing():
    assert not has_words("\u200d \u200c .") and has_words("犬") and has_words("🐕")


def test_a_film_of_regret_is_no_talk():
    assert find_talk("A sorry sight: a dog in the rain") is None and find_talk("Sorry, no.") == "refusal"


def test_the_detail_tells_the_reason():
    assert [read_reason(detail) for detail in ("refusal", "garbled (3 answers)", "empty", "chatter", "no_start")] == [
        Reason.REFUSED, Reason.GARBLED, Reason.EMPTY, Reason.UNPARSED, Reason.UNPARSED,
    ]  # fmt: skip
