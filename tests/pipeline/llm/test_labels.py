import pytest

from pipeline.llm.labels import strip_echoes, strip_label
from pipeline.llm.model_text import read_prompt

FILM = "A dog runs over the grass."


@pytest.mark.parametrize(
    "label",
    [
        "Video Prompt: ", "Video-Prompt: ", "video prompt - ", "T2V prompt: ", "Text-to-video prompt: ",
        "Video Prompt 1: ",
        "[Video Prompt]: ", "[Video Prompt] ", "(Video Prompt) ", "【视频提示词】", "提示：", "优化后的提示词：",
        "プロンプト：",
        "動画プロンプト: ", "프롬프트: ", "Prompt vidéo : ", "Prompt de video: ", "Видео-промпт: ", "Refined version: ",
        "Rewritten: ", "Final prompt (English): ", "Assistant: ", "🎬 Video Prompt: ", "Video Prompt; ",
        "Prompt - ", "The video prompt is: ", "Sure, here you go: ", "Sure! ",
        "Certainly! ",
        "Here is a video prompt for you: ", "好的，以下是视频提示词：",
    ],
)  # fmt: skip
def test_a_label_goes_in_every_spelling_and_language(label):
    assert strip_label(label + FILM) == FILM


@pytest.mark.parametrize(
    "text",
    [
        f"Video Prompt\n{FILM}", f"### Video Prompt\n\n{FILM}", f"Query: a dog\nVideo Prompt: {FILM}",
        f"User: a dog\nAssistant: {FILM}", f"Thinking: hm.\n\nAnswer: {FILM}",
        f"Thought: I should write.\nFinal Answer: {FILM}", f"{FILM}\n\nUser: more", f"{FILM}\nUSER: hi ASSISTANT: yes",
        f"{FILM}\n\nHuman: hi\n\nAssistant: x", f"{FILM}### User: hi", f"{FILM}\n\nNote: I kept it short.",
        f"{FILM}\n\nLet me know if you want changes!", f"{FILM}\n\nI hope this helps!",
        f"**AI:** {FILM}", f"**Video:** {FILM}", f"🎬 **Video Prompt:** {FILM}", f"Video Prompt.\n{FILM}",
        f'prompt = "{FILM}"',
        f"{FILM} I hope this helps!", f"{FILM} Let me know if you need anything else.",
        f"{FILM} (Note: I kept it short.)",
        f"Query: dog\n{FILM}", f"Thinking...\n{FILM}", f"{{'prompt': '{FILM}'}}", f"{FILM}\nassistant\nA cat",
        f"New:\n{FILM}",
        f"user\na dog\nassistant\n{FILM}", f"**Final Prompt**\n\n{FILM}\n\nThis prompt describes a dog.",
    ],
)  # fmt: skip
def test_the_question_thinking_other_turns_and_remarks_are_no_part_of_the_answer(text):
    assert read_prompt(text) == FILM


@pytest.mark.parametrize(
    "text",
    [
        "Scene: a dog runs.\nCamera: pan.", "Note: a yellow paper on a fridge.", "A question: who runs?",
        "A dog.\nThe camera follows the dog.", "Prompter's box on a stage",
        "Model: a woman walks the runway in Paris.", "AI: a robot face in the dark.", "Final: two boxers in a ring.",
        "New: a product box on a table.", "Okay, boomer sign on a wall.", "以下是森林的景色：阳光穿过树叶。",
        "Thinking of home, a sailor writes a letter.", "A sign says: I hope you see this.",
        "Answering a phone, a man runs.",
    ],
)  # fmt: skip
def test_words_of_a_film_are_no_labels(text):
    assert strip_label(strip_echoes(text)) == text
