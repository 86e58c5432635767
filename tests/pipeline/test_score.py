import json

import pytest
from rows import BY

from pipeline.io import DataError
from pipeline.score import answers, scores
from schemas.params import Reward as RewardParams
from schemas.reward import Answer, Dimension, Reward


@pytest.fixture
def params(tmp_path):
    weights = {"whole": 0.5, "sharp": 0.25, "safe": 0.0}
    lines = [dict(question_id=name, question="?", weight=weight, dimension="d") for name, weight in weights.items()]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    checklist = {"backend": "offline_checklist", "questions": str(tmp_path / "questions.jsonl"), "scored_text": "query"}
    dims = {"backend": "offline_dims", "questions": None, "scored_text": "query"}
    models = {"checklist": checklist, "dims": dims}
    return RewardParams.model_validate({"models": models, "formula": "weighted_yes", "model": "checklist"})


def asking(params, formula, model):
    return params.model_copy(update={"formula": formula, "model": model})


def row(video_id="v0", reward="checklist", yes=(), no=(), dims=()):
    given = [Answer(question_id=name, answer=True) for name in yes]
    given += [Answer(question_id=name, answer=False) for name in no]
    return Reward(
        video_id=video_id,
        query_id="q",
        prompt_id="p",
        frames_hash="f",
        reward=reward,
        scored_text="a dog",
        answers=tuple(given),
        dims=tuple(Dimension(name=name, value=value) for name, value in dims),
        scored_by=BY,
    )


@pytest.mark.parametrize(
    ("yes", "score"),
    [(("whole", "sharp", "safe"), 0.75), (("whole",), 0.5), (("safe",), 0.0), ((), 0.0)],
)
def test_weighted_yes_sums_the_weights_of_the_questions_answered_yes(params, yes, score):
    no = [name for name in ("whole", "sharp", "safe") if name not in yes]
    assert scores([row(yes=yes, no=no)], params) == {"v0": pytest.approx(score)}


def test_mean_dims_is_the_mean_of_the_dimensions(params):
    rows = [row(reward="dims", dims=[("VQ", 1.0), ("TC", 4.0)]), row(yes=("whole",))]
    assert scores(rows, asking(params, "mean_dims", "dims")) == {"v0": pytest.approx(2.5)}


def test_only_rows_of_the_named_model_count(params):
    full = dict(yes=("whole", "sharp"), no=("safe",))
    assert scores([row(**full), row("v1", reward="dims", dims=[("VQ", 9.0)])], params).keys() == {"v0"}


def test_answers_to_another_question_file_are_refused(params):
    with pytest.raises(DataError, match="clip v0: answers and .* differ in crisp, safe, sharp"):
        scores([row(yes=("whole", "crisp"))], params)


@pytest.mark.parametrize(("formula", "model"), [("mean_dims", "checklist"), ("weighted_yes", "dims")])
def test_a_formula_that_does_not_fit_the_model_says_so(params, formula, model):
    with pytest.raises(DataError, match=f"reward.formula {formula} needs"):
        scores([row(reward=model, yes=("whole",), dims=())], asking(params, formula, model))


def test_answers_are_at_hand_question_by_question(params):
    rows = [row(yes=("whole",), no=("sharp",)), row(reward="dims", dims=[("VQ", 1.0)])]
    assert answers(rows, params) == {"v0": {"whole": True, "sharp": False}}
