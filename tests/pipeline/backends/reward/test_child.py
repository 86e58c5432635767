import json

import pytest

from pipeline.runtime.io import DataError
from schemas.base import Dropped
from tests.support.worker_calls import WorkerParams, right, scored, sheet, short_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip():
    return short_clip()


@pytest.fixture
def params(tmp_path):
    return WorkerParams(tmp_path)


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
