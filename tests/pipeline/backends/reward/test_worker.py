import os
import re
import sys
from pathlib import Path

import pytest

from pipeline.backends.reward import make_reward
from pipeline.backends.reward.worker import Worker
from pipeline.runtime.io import DataError
from schemas.reasons import Reason
from schemas.seams import ScoreRequest
from tests.support.worker_calls import REVISION, WorkerParams, right, scored, sheet, short_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip():
    return short_clip()


@pytest.fixture
def params(tmp_path):
    return WorkerParams(tmp_path)


def told(params, name):
    path = params.notes / name
    return path.stat().st_size if path.exists() else 0


def alive(params):
    """Return the workers that still run."""
    running = []
    for path in params.notes.glob("pid*"):
        try:
            os.kill(int(path.name.removeprefix("pid")), 0)
            running.append(path.name)
        except ProcessLookupError:
            pass
    return running


def test_each_question_is_asked_with_the_text_in_it_and_answered_in_the_files_order(params, clip):
    first, second = scored(params(), clip, "a fox", "an ox")
    assert list(sheet(first)) == ["q1", "q2", "q3"]
    assert (sheet(first), sheet(second)) == (right("a fox"), right("an ox"))
    assert sheet(scored(params(), clip, "a dog!")[0]) == right("a dog!") != right("a fox")


def test_the_seam_builds_it_by_name(params, laptop):
    assert make_reward(params()).by == Worker(params()).by


def test_one_child_scores_all_clips_and_ends_with_the_stage(params, clip):
    outcomes = scored(params(), clip, *[f"clip {number}" for number in range(5)])
    assert [outcome.reason for outcome in outcomes] == [None] * 5
    assert told(params, "started") == 1 and alive(params) == []


def test_a_worker_asked_in_small_tasks_loads_once_and_ends_with_its_object(params, clip):
    worker = Worker(params())
    texts = ["a fox", "an ox", "two foxes"]
    said = [outcome for text in texts for outcome in worker.map([ScoreRequest(clip, text)])]
    assert [sheet(outcome) for outcome in said] == [right(text) for text in texts]
    assert told(params, "started") == 1 and len(alive(params)) == 1
    del worker
    assert alive(params) == []


def test_an_answer_left_over_from_one_task_is_never_the_next_ones(params, clip):
    worker = Worker(params())
    list(worker.map([ScoreRequest(clip, "a fox")]))
    said = [outcome for text in ("twice", "an ox") for outcome in worker.map([ScoreRequest(clip, text)])]
    assert sheet(said[1]) == right("an ox")


def test_the_child_ends_when_the_stage_stops_early(params, clip):
    outcomes = Worker(params()).map(ScoreRequest(clip, f"clip {number}") for number in range(5))
    next(outcomes)
    assert len(alive(params)) == 1
    outcomes.close()
    assert alive(params) == []


def test_the_next_clip_is_sent_before_the_last_is_answered(params, clip):
    drawn = []

    def items():
        for number in range(4):
            drawn.append(number)
            yield ScoreRequest(clip, f"clip {number}")

    outcomes = Worker(params()).map(items())
    next(outcomes)
    assert drawn == [0, 1]
    outcomes.close()


def test_no_file_of_a_clip_is_left_behind(params, clip):
    scored(params(), clip, "one", "cannot", "three")
    shown = (params.notes / "clips").read_text().split()
    assert len(shown) == 3 and not any(Path(path).exists() for path in shown)


def test_no_more_clips_lie_about_than_are_asked_for(params, clip):
    scored(params(), clip, *[f"clip {number}" for number in range(5)])
    counts = (params.notes / "clips at once").read_text().split()
    assert len(counts) == 5 and max(map(int, counts)) <= 2


def test_who_scores_is_known_before_the_worker_starts(params):
    by = Worker(params()).by
    assert (by.backend, by.model) == ("visionreward", "them/scorer") and by.revision.startswith(f"{REVISION}+")
    assert told(params, "started") == 0


def test_other_words_of_a_question_are_another_revision_and_other_weights_are_not(params, tmp_path):
    path = tmp_path / "questions.jsonl"
    before, text = Worker(params()).by, path.read_text()
    path.write_text(text.replace("1.0", "2.0"))
    assert Worker(params()).by == before
    path.write_text(text.replace("sharp", "crisp"))
    assert Worker(params()).by != before


def test_dims_come_raw_and_as_z_scores(params, clip):
    (outcome,) = scored(params(scorer="videoalign"), clip, "a fox")
    assert [item.name for item in outcome.value.dims] == ["VQ", "MQ", "TA", "VQ_z", "MQ_z", "TA_z"]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("cannot", "the clip has no sound track"),
        ("fewer", "no answers for q1"),
        ("more", "answers nobody asked for: q99"),
        ("doubled", "is not about clip 0"),
        ("capital", "q1 is answered 'Yes'"),
        ("none", "the worker gave no answers"),
        ("lies", '"I think yes\\\\n", which is not about clip 0'),
        ("other", '"id": "77".*is not about clip 0'),
    ],
)
def test_an_odd_answer_is_no_score_and_the_next_clip_has_one(params, clip, text, detail):
    odd, well = scored(params(), clip, text, "a fox")
    assert odd.reason == Reason.NO_SCORE and re.search(detail, odd.detail), odd.detail
    assert sheet(well) == right("a fox")


@pytest.mark.parametrize(("text", "detail"), [("nan", "MQ is nan"), ("text", "MQ is '0.3'"), ("none", "no dims")])
def test_an_odd_number_is_no_score(params, clip, text, detail):
    odd, well = scored(params(scorer="videoalign"), clip, text, "a fox")
    assert odd.reason == Reason.NO_SCORE and detail in odd.detail
    assert well.value is not None


def test_a_worker_that_dies_once_is_started_again_and_every_clip_is_scored(params, clip):
    outcomes = scored(params(), clip, "first", "dies 1", "last")
    assert [outcome.reason for outcome in outcomes] == [None] * 3
    assert told(params, "started") == 2


def test_a_clip_that_kills_the_worker_three_times_has_no_score_and_the_others_have(params, clip):
    outcomes = scored(params(), clip, "first", "dies", "last")
    assert [outcome.reason for outcome in outcomes] == [None, Reason.NO_SCORE, None]
    assert "3 times" in outcomes[1].detail and "device-side assert" in outcomes[1].detail
    assert told(params, "asked dies") == 3


def test_a_worker_that_does_not_answer_in_time_is_started_again(params, clip):
    outcomes = scored(params(timeout_s=6.0), clip, "hangs 1", "last")
    assert [outcome.reason for outcome in outcomes] == [None, None]
    assert told(params, "started") == 2 and alive(params) == []


def test_a_worker_that_only_dies_stops_the_stage_with_its_last_lines(params, clip):
    with pytest.raises(DataError, match="9 times in a row.*device-side assert"):
        scored(params(), clip, "dies", "dies", "dies", "dies")
    assert alive(params) == []


def test_a_file_that_is_no_video_never_reaches_the_worker(params, clip):
    items = [ScoreRequest(b"no video", "one"), ScoreRequest(clip, "two")]
    outcomes = list(Worker(params()).map(items))
    assert [outcome.reason for outcome in outcomes] == [Reason.BAD_CLIP, None]
    assert told(params, "asked one") == 0


def test_a_worker_with_another_commit_stops_the_stage(params, clip):
    other = "f" * 40
    with pytest.raises(DataError, match=f"the worker has revision {other}, params ask for {REVISION}"):
        scored(params(f"revision={other}"), clip, "a fox")


def test_a_worker_of_another_scorer_stops_the_stage(params, clip):
    wrong = params(scorer="videoalign").worker
    with pytest.raises(DataError, match="did not start: .*this is 1 of videoalign"):
        scored(params(worker=wrong), clip, "a fox")


def test_a_worker_that_cannot_load_stops_the_stage_with_its_last_lines(params, clip):
    with pytest.raises(DataError, match="did not start: it ended with 3; its last lines: no CUDA device here"):
        scored(params("never"), clip, "a fox")


def test_a_worker_that_never_says_that_it_is_ready_stops_the_stage(params, clip):
    worker = Worker(params("hangs"), load_s=0.5)
    with pytest.raises(DataError, match="did not start: no answer within 0.5 seconds"):
        list(worker.map([ScoreRequest(clip, "a fox")]))
    assert alive(params) == []


def test_a_program_that_says_something_else_stops_the_stage(params, clip):
    with pytest.raises(DataError, match="the worker has protocol hello"):
        scored(params(worker=(sys.executable, "-c", "print('hello'); input()")), clip, "a fox")


def test_a_worker_needs_a_pinned_model(params):
    with pytest.raises(DataError, match="set revision to the 40-hex commit of them/scorer"):
        Worker(params(revision=None))


def test_a_marker_in_the_text_is_data(params, clip):
    (outcome,) = scored(params(), clip, "[[prompt]]")
    assert sheet(outcome) == right("[[prompt]]")
