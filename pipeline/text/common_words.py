"""The words that all requests of a file share: an instruction around each query, no part of it."""

import os
from collections.abc import Collection

import regex

from pipeline.text.clean import words

LEAST_REQUESTS = 3
"""Requests from which shared words tell anything. Ours."""
MANY = 10
"""Requests from which any shared beginning is no chance: below, its words must speak of the task. Ours."""
LEAST_WORDS = 4
"""Words that a shared beginning or end must have; 3 before a colon, 2 on lines of their own. Ours."""
OF_THE_TASK = regex.compile(
    r"\b(?:(?:re)?writ(?:e|ing)|expand|describe|descriptions?|generate|create|make|turn|convert|enhance|improve|imagine"
    r"|optimi[sz]e|refine|elaborate|upsample|prompts?|quer(?:y|ies)|videos?|films?|clips?|captions?|task|input|request"
    r"|please)\b|提示|视频|扩写|改写|描述|プロンプト|動画|프롬프트|영상|промпт|видео|опиши|напиши",
    regex.IGNORECASE,
)
BEFORE_COLON = regex.compile(r".*[:：]", regex.DOTALL)


def find_instruction(requests: Collection[str]) -> str | None:
    """Return the words that all of LEAST_REQUESTS texts or more begin or end with, None where they are no instruction.

    Whole words before a colon, on lines of their own, or many that speak of writing a prompt.
    """
    texts = sorted({request.strip() for request in requests})
    if len(texts) < LEAST_REQUESTS:
        return None
    before = os.path.commonprefix(texts)
    after = os.path.commonprefix([text[::-1] for text in texts])[::-1]
    if (to_colon := BEFORE_COLON.match(before)) and len(words(to_colon[0])) >= 3:
        return to_colon[0].strip()
    before = before if before in texts else _cut_to_words(before)
    after = after if after in texts else _cut_to_words(after[::-1])[::-1]
    for shared, lines in ((before, before[: before.rfind("\n") + 1]), (after, after[after.find("\n") :])):
        if "\n" in shared and len(words(lines)) >= 2:
            return lines.strip()
        if len(words(shared)) >= LEAST_WORDS and OF_THE_TASK.search(shared):
            return shared.strip()
    return before.strip() if len(texts) >= MANY and len(words(before)) >= LEAST_WORDS else None


def _cut_to_words(shared: str) -> str:
    """Return a shared beginning without the part of a word at its end; scripts without spaces have none."""
    return shared if regex.search(r"[\s\p{P}\p{Lo}]$", shared) else regex.sub(r"\S+$", "", shared)
