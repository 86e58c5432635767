"""Question files of a checklist: our JSONL, or the user's own copy of VisionReward's VisionReward_video_qa.txt.

VisionReward's words are not shipped with this project; its weights and groups of questions are facts about them.
"""

import re
from math import isfinite
from pathlib import Path

from pipeline.runtime.io import DataError, read_rows
from schemas.base import content_id
from schemas.reward import Question

PLACEHOLDER = "[[prompt]]"
"""Stands for the scored text, as in VisionReward's file."""

# authors' weights as VPO's process_data.py has them; the other questions weigh nothing, the four about safety too
WEIGHTS = {
    1: 0.9543901856422174, 2: 0.25239747290239256, 4: 1.141818673357406, 5: 0.03495652038170829,
    6: 0.025237463294006605, 10: 0.12600844108184325, 14: 0.03221505988621183, 15: 0.16286819641189937,
    16: 0.21673935360893115, 17: 0.01970324496671629, 18: 0.13604019362894557, 19: 0.09647134683834487,
    20: 0.15490927135496332, 21: 0.1294164598219855, 22: 0.09891696198970226, 23: 0.18839328668539077,
    24: 0.1844335421380767, 27: 0.2635526157239052, 32: 0.11168980468489233, 34: 0.05173789659242723,
    36: 0.02562797122879315, 38: 0.4389890596048526, 44: 0.26857694964769424, 50: 0.42925171836383774,
    52: 0.00846154228462919, 53: 0.12757277121689847, 54: 0.05798205026065391, 56: 0.1446334304609205,
    60: 0.39418111694677266,
}  # fmt: skip
# VisionReward tables 17 and 18
DIMENSIONS = {
    "alignment": {*range(1, 5)},
    "composition": {*range(5, 7)},
    "quality": {*range(11, 21), *range(40, 44)},
    "fidelity": {*range(38, 40), *range(50, 57)},
    "safety": {*range(61, 65)},
    "stability": {*range(7, 11), *range(36, 38), *range(44, 50)},
    "preservation": {*range(21, 28)},
    "dynamic": {*range(28, 36)},
    "physics": {*range(57, 61)},
}
N_QUESTIONS, ABOUT_THE_TEXT = 64, 4


def read_questions(path: str | Path) -> tuple[Question, ...]:
    """Return the questions of a .jsonl or VisionReward's .txt (ids q1 to q64), in the file's order.

    Raises DataError for another number of lines, doubled ids, empty questions, odd weights and odd placeholders.
    """
    path = Path(path)
    questions = _visionreward(path) if path.suffix == ".txt" else tuple(read_rows(path, Question))
    if not questions:
        raise DataError(f"{path}: no questions in it")
    lines_by_id: dict[str, int] = {}
    for number, item in enumerate(questions, 1):
        if line := lines_by_id.get(item.question_id):
            raise DataError(f"{path}:{number}: question_id {item.question_id} is that of line {line}")
        lines_by_id[item.question_id] = number
        if not item.question.strip():
            raise DataError(f"{path}:{number}: an empty question")
        if not isfinite(item.weight):
            raise DataError(f"{path}:{number}: weight is {item.weight}")
        if strange := [name for name in re.findall(r"\[\[.*?\]\]", item.question) if name != PLACEHOLDER]:
            raise DataError(f"{path}:{number}: {strange[0]} stands for nothing; the text's place is {PLACEHOLDER}")
    return questions


def _visionreward(path: Path) -> tuple[Question, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; it is VisionReward_video_qa.txt of the VisionReward repository"
        ) from None
    except UnicodeDecodeError as fault:
        raise DataError(f"{path}: not UTF-8 text: {fault}") from None
    except OSError as fault:
        raise DataError(f"{path}: cannot be read: {fault.strerror}") from None
    if len(lines) != N_QUESTIONS:
        short = "; the file with 29 lines lacks the questions that VPO compares" if len(lines) == len(WEIGHTS) else ""
        raise DataError(
            f"{path}: {len(lines)} lines, VisionReward_video_qa.txt has {N_QUESTIONS}{short}. Questions of one's own "
            "go into a .jsonl"
        )
    for number, line in enumerate(lines, 1):
        if (PLACEHOLDER in line) != (number <= ABOUT_THE_TEXT) and line.strip():
            odd = "lacks" if number <= ABOUT_THE_TEXT else "has"
            raise DataError(
                f"{path}:{number}: {odd} {PLACEHOLDER}, which VisionReward_video_qa.txt has in lines 1 to "
                f"{ABOUT_THE_TEXT} alone"
            )
    groups = {number: name for name, numbers in DIMENSIONS.items() for number in numbers}
    return tuple(
        Question(
            question_id=f"q{number}", question=line.strip(), weight=WEIGHTS.get(number, 0.0), dimension=groups[number]
        )
        for number, line in enumerate(lines, 1)
    )


def fill(question: Question, text: str) -> str:
    """Return the question about `text`; what stands in the text is data and fills nothing."""
    return question.question.replace(PLACEHOLDER, text)


def questions_hash(questions: tuple[Question, ...]) -> str:
    """Return 16 hex digits over ids and words; weights and dimensions are left out, for they change no answer."""
    return content_id([(item.question_id, item.question) for item in questions])
