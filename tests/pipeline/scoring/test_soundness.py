import math

import pytest

from pipeline.scoring.soundness import refuse_unsound
from schemas.reasons import Reason
from schemas.reward import Answer, Dimension
from schemas.seams import Outcome, Scores


@pytest.mark.parametrize(
    ("scores", "detail"),
    [
        (Scores(), "the model gave neither answers nor dimensions"),
        (Scores(dims=(Dimension(name="VQ", value=math.nan),)), "VQ is nan"),
        (Scores(answers=(Answer(question_id="q", answer=True, p_yes=math.inf),)), "q is inf"),
    ],
)
def test_scores_that_no_formula_may_read_are_none_and_say_why(scores, detail):
    outcome = refuse_unsound(Outcome(value=scores))
    assert (outcome.value, outcome.reason, outcome.detail) == (None, Reason.NO_SCORE, detail)


def test_sound_scores_and_reasons_pass_as_they_are():
    sound = Outcome(value=Scores(answers=(Answer(question_id="q", answer=True),)))
    without = Outcome(reason=Reason.BAD_CLIP, detail="no frames")
    assert refuse_unsound(sound) is sound and refuse_unsound(without) is without
