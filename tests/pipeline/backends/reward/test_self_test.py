import numpy as np
import pytest

from pipeline.backends.reward import make_reward
from pipeline.backends.reward.self_test import Looking, good_frames, spoilt
from pipeline.runtime.io import DataError
from pipeline.video.clips import decode, encode
from schemas.reasons import Reason
from schemas.reward import Answer, Dimension
from schemas.seams import Outcome, ScoreRequest, Scores
from tests.support.rows import BY

ITEM = ScoreRequest(encode(np.full((3, 48, 48, 3), 120, np.uint8), 8), "a dog")


class Says:
    """A reward model that says what a function makes of a clip's frames, and counts what it is asked."""

    by = BY

    def __init__(self, says):
        self.says, self.asked = says, []

    def map(self, items):
        for item in items:
            self.asked.append(item)
            said = self.says(decode(item.clip))
            yield said if isinstance(said, Outcome) else Outcome(value=said)


def brightness(frames):
    return Scores(dims=(Dimension(name="VQ", value=float(frames.mean())),))


def yes(p_yes=None):
    return Scores(answers=tuple(Answer(question_id=f"q{at}", answer=True, p_yes=p_yes) for at in range(7)))


def test_a_model_that_says_the_same_of_both_clips_stops_the_stage_before_its_first_clip():
    blind = Says(lambda frames: Scores(dims=(Dimension(name="VQ", value=2.5), Dimension(name="TC", value=3))))
    with pytest.raises(DataError, match="says the same of a good and of a spoilt clip: VQ 2.5, TC 3; it does not look"):
        next(Looking(blind).map([ITEM]))
    assert ITEM not in blind.asked


def test_a_checklist_that_says_yes_to_everything_does_not_look():
    with pytest.raises(DataError, match="q0 yes, q1 yes, q2 yes, q3 yes, q4 yes, ...; it does not look"):
        next(Looking(Says(lambda frames: yes())).map([ITEM]))


def test_answers_that_are_alike_with_other_probabilities_have_looked():
    seen = Looking(Says(lambda frames: yes(p_yes=float(frames.mean()) / 255)))
    assert next(seen.map([ITEM])).value.answers[0].p_yes == pytest.approx(120 / 255, abs=0.01)


def test_a_model_that_looks_is_tested_once_and_its_scores_pass_in_order():
    backend = Says(brightness)
    tested = Looking(backend)
    dark = ScoreRequest(encode(np.full((3, 48, 48, 3), 30, np.uint8), 8), "a dog")
    first = [outcome.value.dims[0].value for outcome in tested.map([ITEM, dark])]
    assert first == pytest.approx([120, 30], abs=3)
    list(tested.map([dark]))
    assert [item.text for item in backend.asked] == [backend.asked[0].text] * 2 + ["a dog"] * 3
    assert tested.by == BY


def test_where_nothing_is_to_score_nothing_is_asked():
    backend = Says(brightness)
    assert list(Looking(backend).map([])) == [] and backend.asked == []


def test_a_model_that_scores_nothing_stops_the_stage_with_its_reason():
    silent = Says(lambda frames: Outcome(reason=Reason.NO_SCORE, detail="VQ is nan"))
    with pytest.raises(DataError, match="could score neither a good nor a spoilt clip that it was tried on: VQ is nan"):
        next(Looking(silent).map([ITEM]))


def test_numbers_that_are_none_are_no_scores_that_differ():
    spoilt_weights = Says(lambda frames: Scores(dims=(Dimension(name="VQ", value=float("nan")),)))
    with pytest.raises(DataError, match="could score neither a good nor a spoilt clip that it was tried on: VQ is nan"):
        next(Looking(spoilt_weights).map([ITEM]))


def test_a_model_that_cannot_score_the_spoilt_clip_goes_on():
    seen = Says(lambda frames: brightness(frames) if frames.mean() > 60 else Outcome(reason=Reason.NO_SCORE))
    assert next(Looking(seen).map([ITEM])).value is not None


def test_the_good_clip_shows_the_scene_and_the_spoilt_one_is_dark():
    good = good_frames()
    assert good.shape == (8, 48, 48, 3) and good.dtype == np.uint8
    sky, meadow = good[0, 2, 24].astype(int), good[0, 44, 24].astype(int)
    assert sky.argmax() == 2 and meadow.argmax() == 1 and good[0, 26, 9].argmax() == 0
    assert (good[0] != good[-1]).any() and spoilt(good).mean() < 0.6 * good.mean()


@pytest.mark.parametrize("name", ["checklist", "dims"])
def test_the_offline_models_look(laptop, root, name):
    params = laptop.reward.models[name]
    if hasattr(params, "questions"):
        params = params.model_copy(update={"questions": str(root / params.questions)})
    assert [item.value is not None for item in make_reward(params).map([ITEM])] == [True]


def test_both_clips_are_drawn_as_they_have_always_been():
    """Another picture would be another test of a model whose answers are kept."""
    good = good_frames()
    areas = [good[0, 2, 24], good[0, 44, 24], good[0, 26, 9], good[-1, 26, 38], good[3, 24, 24]]
    assert [area.tolist() for area in areas] == [
        [92, 162, 222], [61, 171, 71], [213, 29, 29], [215, 29, 29], [191, 26, 26],
    ]  # fmt: skip
    assert good.mean(axis=(0, 1, 2)).round(1).tolist() == [86.2, 158.4, 142.7]
    assert spoilt(good).mean(axis=(1, 2, 3)).round().tolist() == [51, 52, 52, 51, 52, 51, 51, 51]
