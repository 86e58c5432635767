import hashlib
import json

import pytest

from pipeline.runtime.io import DataError
from pipeline.scoring.questions import fill, questions_hash, read_questions
from schemas.reward import Question
from tests.support.made_questions import WORDS

LARGEST_SUMS = {
    "alignment": 2.3486, "composition": 0.0602, "quality": 0.8189, "fidelity": 1.2069, "safety": 0.0,
    "stability": 0.4202, "preservation": 0.8647, "dynamic": 0.1634, "physics": 0.3942,
}  # fmt: skip


@pytest.fixture
def copy(tmp_path):
    """Return copy(lines): the path of a VisionReward_video_qa.txt with these lines."""

    def write(lines=WORDS, end="\n"):
        path = tmp_path / "VisionReward_video_qa.txt"
        path.write_bytes(end.join([*lines, ""]).encode())
        return path

    return write


@pytest.fixture
def jsonl(tmp_path):
    """Return jsonl(*lines): the path of a question file; each line is what departs from a plain question."""

    def write(*lines):
        path = tmp_path / "questions.jsonl"
        plain = dict(question_id="sharp", question="Is it sharp?", weight=0.5, dimension="quality")
        path.write_text("".join(json.dumps(plain | line) + "\n" for line in lines))
        return path

    return write


def test_the_users_copy_has_64_questions_by_number(copy):
    questions = read_questions(copy())
    assert [item.question_id for item in questions] == [f"q{number}" for number in range(1, 65)]
    assert [item.question for item in questions] == WORDS


def test_the_weights_are_the_authors_vector(copy):
    weights = [item.weight for item in read_questions(copy())]
    told = hashlib.sha256(json.dumps(weights).encode()).hexdigest()
    assert told == "0f255fdd94add7a954cb9c6b863a19ed10630a8ddd509a75d6f875b840647cfa"
    assert sum(map(bool, weights)) == 29


def test_the_dimensions_sum_to_what_visionreward_can_reach(copy):
    sums = dict.fromkeys(LARGEST_SUMS, 0.0)
    for item in read_questions(copy()):
        sums[item.dimension] += item.weight
    assert {name: round(value, 4) for name, value in sums.items()} == LARGEST_SUMS


def test_the_safety_questions_weigh_nothing(copy):
    safety = [item for item in read_questions(copy()) if item.dimension == "safety"]
    assert [(item.question_id, item.weight) for item in safety] == [(f"q{number}", 0.0) for number in range(61, 65)]


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(copy):
    plain = read_questions(copy())
    assert read_questions(copy(["\ufeff" + WORDS[0], *WORDS[1:]], end="\r\n")) == plain


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (WORDS[:63], "63 lines, VisionReward_video_qa.txt has 64"),
        ([*WORDS, "Is there one more?"], "65 lines"),
        (WORDS[:29], "29 lines.*lacks the questions that VPO compares"),
        ([*WORDS[:9], "", *WORDS[10:]], "txt:10: an empty question"),
        ([WORDS[0].replace("[[prompt]]", "it"), *WORDS[1:]], r"txt:1: lacks \[\[prompt\]\]"),
        ([*WORDS[:4], WORDS[0], *WORDS[5:]], r"txt:5: has \[\[prompt\]\]"),
        ([*WORDS[:4], "Is [[text]] in it?", *WORDS[5:]], r"txt:5: \[\[text\]\] stands for nothing"),
    ],
)
def test_a_copy_that_is_not_the_authors_file_is_refused(copy, lines, fault):
    with pytest.raises(DataError, match=fault):
        read_questions(copy(lines))


def test_a_copy_that_is_not_text_is_refused(copy):
    path = copy()
    path.write_bytes(path.read_bytes().replace(b"fault", b"fa\xfflt", 1))
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_questions(path)


def test_a_copy_that_is_not_there_says_where_it_comes_from(tmp_path):
    with pytest.raises(DataError, match="no such file; it is VisionReward_video_qa.txt of the VisionReward repository"):
        read_questions(tmp_path / "VisionReward_video_qa.txt")


def test_the_projects_own_questions_can_be_read(root):
    questions = read_questions(root / "pipeline/backends/reward/questions.jsonl")
    assert len(questions) == len({item.question_id for item in questions}) > 20


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([{}, {}], "jsonl:2: question_id sharp is that of line 1"),
        ([{"question": " "}], "jsonl:1: an empty question"),
        ([{"weight": float("nan")}], "jsonl:1: weight is nan"),
        ([{"question": "Is [[query]] in it?"}], r"jsonl:1: \[\[query\]\] stands for nothing"),
        ([], "no questions in it"),
    ],
)
def test_a_question_file_with_a_fault_is_refused(jsonl, lines, fault):
    with pytest.raises(DataError, match=fault):
        read_questions(jsonl(*lines))


def test_a_marker_in_the_text_fills_nothing():
    question = Question(question_id="q", question="Is [[prompt]] in it?", weight=1, dimension="d")
    assert fill(question, "a [[prompt]] {text} \\1") == "Is a [[prompt]] {text} \\1 in it?"


def test_weights_are_no_part_of_what_is_asked(jsonl):
    before = questions_hash(read_questions(jsonl({})))
    assert questions_hash(read_questions(jsonl({"weight": 7.0, "dimension": "other"}))) == before
    assert questions_hash(read_questions(jsonl({"question": "Is it crisp?"}))) != before
