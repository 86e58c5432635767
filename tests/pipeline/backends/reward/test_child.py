import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.backends.reward.worker import Worker
from pipeline.runtime.io import DataError
from pipeline.scoring.soundness import refuse_unsound
from pipeline.video.clips import encode
from schemas.base import Dropped
from schemas.seams import ScoreRequest
from tests.support.params import section_of

pytestmark = pytest.mark.slow


REVISION = "0123456789abcdef0123456789abcdef01234567"


FAKE = Path(__file__).resolve().parents[3] / "support/fake_scorer.py"


QUESTIONS = {"q1": "Is [[prompt]] in the video?", "q2": "Is it sharp?", "q3": "Is it calm?"}


@pytest.fixture(scope="module")
def clip():
    return encode(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8), 8)


@pytest.fixture
def params(tmp_path):
    """Return params(*words of the fake worker, scorer=, **params)."""
    lines = [dict(question_id=name, question=text, weight=1.0, dimension="d") for name, text in QUESTIONS.items()]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "notes").mkdir()

    def made(*words, scorer="visionreward", **changes):
        asked = {"questions": str(tmp_path / "questions.jsonl")} if scorer == "visionreward" else {}
        worker = [sys.executable, str(FAKE), scorer, str(tmp_path / "notes"), *words]
        values = {"backend": scorer, "model": "them/scorer", "revision": REVISION, "scored_text": "query"}
        return section_of("reward", **values | asked | {"worker": worker} | changes)

    made.notes = tmp_path / "notes"
    return made


def scored(params, clip, *texts):
    return [refuse_unsound(outcome) for outcome in Worker(params).map(ScoreRequest(clip, text) for text in texts)]


def sheet(outcome):
    return {item.question_id: item.answer for item in outcome.value.answers}


def right(text):
    """Return what the fake worker answers of a clip with this text."""
    return {name: len(words.replace("[[prompt]]", text)) % 2 == 0 for name, words in QUESTIONS.items()}


@pytest.mark.parametrize(("text", "detail"), [("half", "?"), ("halves", "answers nobody asked for: ?")])
def test_half_a_character_in_what_a_worker_says_can_be_written_down(params, clip, text, detail):
    odd, _ = scored(params(), clip, text, "a fox")
    row = Dropped(input_id="v0", reason=odd.reason, detail=odd.detail)
    assert json.loads(row.model_dump_json())["detail"] == detail


def test_an_answer_given_twice_is_never_the_next_clips(params, clip):
    outcomes = scored(params(), clip, "twice", "a fox", "two foxes")
    assert [sheet(outcome) for outcome in outcomes[1:]] == [right("a fox"), right("two foxes")]


def test_a_program_that_is_not_there_stops_the_stage(params, clip):
    with pytest.raises(DataError, match="worker no/such/python cannot be started"):
        scored(params(worker=("no/such/python", "x.py")), clip, "a fox")


def test_nothing_of_our_python_leads_the_workers_astray(params, clip, monkeypatch):
    (params.notes / "sitecustomize.py").write_text("import os; os._exit(7)")
    monkeypatch.setenv("PYTHONPATH", str(params.notes))
    (outcome,) = scored(params(), clip, "a fox")
    assert outcome.value is not None
