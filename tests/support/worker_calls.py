"""Clips scored by the fake worker of `fake_scorer.py`."""

import json
import sys
from pathlib import Path

import numpy as np

from pipeline.backends.reward.worker import Worker
from pipeline.scoring.soundness import refuse_unsound
from pipeline.video.clips import encode
from schemas.seams import ScoreRequest
from tests.support.params import section_of

REVISION = "0123456789abcdef0123456789abcdef01234567"
FAKE = Path(__file__).with_name("fake_scorer.py")
QUESTIONS = {"q1": "Is [[prompt]] in the video?", "q2": "Is it sharp?", "q3": "Is it calm?"}


def short_clip() -> bytes:
    return encode(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8), 8)


class WorkerParams:
    """Called with words of the fake worker, returns its params; the worker writes down in `notes` what it does."""

    def __init__(self, folder: Path):
        lines = [dict(question_id=name, question=text, weight=1.0, dimension="d") for name, text in QUESTIONS.items()]
        self.questions, self.notes = folder / "questions.jsonl", folder / "notes"
        self.questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.notes.mkdir()

    def __call__(self, *words, scorer="visionreward", **changes):
        asked = {"questions": str(self.questions)} if scorer == "visionreward" else {}
        worker = [sys.executable, str(FAKE), scorer, str(self.notes), *words]
        values = {"backend": scorer, "model": "them/scorer", "revision": REVISION, "scored_text": "query"}
        return section_of("reward", **values | asked | {"worker": worker} | changes)


def scored(params, clip, *texts):
    return [refuse_unsound(outcome) for outcome in Worker(params).map(ScoreRequest(clip, text) for text in texts)]


def sheet(outcome):
    return {item.question_id: item.answer for item in outcome.value.answers}


def right(text):
    """Return what the fake worker answers of a clip with this text."""
    return {name: len(words.replace("[[prompt]]", text)) % 2 == 0 for name, words in QUESTIONS.items()}
