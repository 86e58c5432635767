import json
from fractions import Fraction

import pytest

from pipeline.runtime.io import DataError
from pipeline.scoring.formulas import (
    answers_by_clip,
    compute_scores,
    rate_dimensions,
    safety_answers_by_clip,
    split_scores,
)
from schemas.params_reward import RewardParams
from schemas.reward import Answer, Dimension, Reward
from tests.support.rows import BY


@pytest.fixture
def params(tmp_path):
    weights = {"whole": 0.5, "sharp": 0.25, "safe": 0.0}
    lines = [dict(question_id=name, question="?", weight=weight, dimension="d") for name, weight in weights.items()]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    checklist = {"backend": "offline_checklist", "questions": str(tmp_path / "questions.jsonl"), "scored_text": "query"}
    dims = {"backend": "offline_dims", "questions": None, "scored_text": "query"}
    models = {"checklist": checklist, "dims": dims}
    return RewardParams.model_validate(
        {"models": models, "formula": "weighted_yes", "model": "checklist", "weights": None, "replicate": 0.0}
    )


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
    assert compute_scores([row(yes=yes, no=no)], params) == {"v0": pytest.approx(score)}


def test_scores_are_exact_sums_of_the_weights_as_they_are_written(params, tmp_path):
    weights = {"whole": 0.1, "sharp": 0.2, "safe": 0.0}
    lines = [dict(question_id=name, question="?", weight=weight, dimension="d") for name, weight in weights.items()]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [row(yes=("whole", "sharp"), no=("safe",))]
    assert compute_scores(rows, params) == {"v0": Fraction(3, 10)}
    assert compute_scores(rows, asking(params, "visionreward", "checklist")) == {"v0": Fraction(3, 20)}
    sure = [item.model_copy(update={"p_yes": 0.1}) for item in rows[0].answers]
    told = [rows[0].model_copy(update={"answers": tuple(sure)})]
    assert compute_scores(told, asking(params, "weighted_p_yes", "checklist")) == {"v0": Fraction(3, 100)}


def test_dimensions_are_added_up_as_they_are_written(params):
    rows = [row(reward="dims", dims=[(name, 0.1) for name in SEVEN])]
    assert compute_scores(rows, asking(params, "filter", "dims")) == {
        "v0": (3 + Fraction("2.4") + Fraction(4, 5) + Fraction(1, 3)) / 10
    }
    assert compute_scores(rows, asking(params, "mean_dims", "dims")) == {"v0": Fraction(1, 10)}


def test_mean_dims_is_the_mean_of_the_dimensions(params):
    rows = [row(reward="dims", dims=[("VQ", 1.0), ("TC", 4.0)]), row(yes=("whole",))]
    assert compute_scores(rows, asking(params, "mean_dims", "dims")) == {"v0": pytest.approx(2.5)}


def test_only_rows_of_the_named_model_count(params):
    full = dict(yes=("whole", "sharp"), no=("safe",))
    assert compute_scores([row(**full), row("v1", reward="dims", dims=[("VQ", 9.0)])], params).keys() == {"v0"}


def test_answers_to_another_question_file_are_refused(params):
    with pytest.raises(DataError, match="clip v0: answers and .* differ in crisp, safe, sharp"):
        compute_scores([row(yes=("whole", "crisp"))], params)


def test_a_formula_over_dimensions_says_when_there_are_none(params):
    with pytest.raises(DataError, match="reward.formula mean_dims needs dimensions, and dims has none"):
        compute_scores([row(reward="dims")], asking(params, "mean_dims", "dims"))


def test_visionrewards_scale_is_the_mean_of_plus_and_minus_weights(params):
    rows = [row(yes=("whole",), no=("sharp", "safe"))]
    assert compute_scores(rows, asking(params, "visionreward", "checklist")) == {"v0": pytest.approx((0.5 - 0.25) / 2)}


def test_weighted_p_yes_needs_the_probabilities_and_sums_them(params):
    given = row(yes=("whole",), no=("sharp", "safe"))
    with pytest.raises(DataError, match="needs P"):
        compute_scores([given], asking(params, "weighted_p_yes", "checklist"))
    told = tuple(item.model_copy(update={"p_yes": 0.8 if item.answer else 0.4}) for item in given.answers)
    found = compute_scores([given.model_copy(update={"answers": told})], asking(params, "weighted_p_yes", "checklist"))
    assert found == {"v0": pytest.approx(0.5 * 0.8 + 0.25 * 0.4)}


SEVEN = {"VQ": 2.0, "TC": 3.0, "DD": 2.5, "TVA": 2.2, "FC": 2.4, "AES": 5.6, "MPS": 9.0}


def several(params, formula, names, weights=None):
    models = params.models | {name: params.models["dims"] for name in names}
    return params.model_copy(update={"models": models, "formula": formula, "model": names, "weights": weights})


@pytest.mark.parametrize(
    ("formula", "score"),
    [
        ("evolution", 2.0 + 3.0 + 2.4 + 2.2 + 5.6 * 5 / 8 + 9.0 / 4 + 0.5 * 2.5),
        ("filter", 2.0 + 3.0 + 2.4 + 1.1 * 2.5 + 1.3 * 2.2 + 5.6 * 4 / 5 + 9.0 / 3),
    ],
)
def test_prompt_a_videos_formulas_add_up_the_dimensions_of_three_models(params, formula, score):
    names = ("videoscore", "aesthetic", "mps")
    five = [(name, value) for name, value in SEVEN.items() if name not in ("AES", "MPS")]
    rows = [
        row(reward="videoscore", dims=five),
        row(reward="aesthetic", dims=[("AES", 5.6)]),
        row(reward="mps", dims=[("MPS", 9.0)]),
        row("v1", reward="videoscore", dims=five),  # not rated by the others
    ]
    assert compute_scores(rows, several(params, formula, names)) == {"v0": pytest.approx(score)}


def test_a_formula_that_lacks_a_dimension_names_it(params):
    with pytest.raises(DataError, match="needs AES, MPS, and the models give VQ"):
        rows = [row(reward="dims", dims=[item for item in SEVEN.items() if len(item[0]) < 3 or item[0] == "TVA"])]
        compute_scores(rows, asking(params, "evolution", "dims"))


def test_z_scores_are_over_the_reference_and_weighted(params):
    rows = [row(f"v{at}", reward="dims", dims=[("VQ", float(at)), ("AES", 5.0)]) for at in range(3)]
    asked = several(params, "z_sum", ("dims",), {"VQ": 2.0})
    found = compute_scores(rows, asked)
    assert [found[f"v{at}"] for at in range(3)] == pytest.approx([-2 * 1.5**0.5, 0, 2 * 1.5**0.5])
    assert compute_scores(rows[:1], asked, reference=rows) == {"v0": found["v0"]}
    assert compute_scores(rows, several(params, "z_sum", ("dims",)))["v2"] == pytest.approx(
        1.5**0.5
    )  # AES never varies


@pytest.mark.parametrize(
    ("formula", "weights"),
    [("mean_dims", None), ("evolution", None), ("filter", None), ("z_sum", {"VQ": 2.0, "DD": -1})],
)
def test_clips_differ_in_r_by_what_their_dimensions_shares_differ(params, formula, weights):
    other = {name: value * at for at, (name, value) in enumerate(SEVEN.items())}
    rows = [row(name, reward="dims", dims=dims.items()) for name, dims in (("v0", SEVEN), ("v1", other))]
    asked = several(params, formula, ("dims",), weights)
    r, parts = compute_scores(rows, asked), split_scores(rows, asked)
    gains = {name: parts["v1"][name] - parts["v0"][name] for name in SEVEN}
    assert sum(gains.values()) == pytest.approx(r["v1"] - r["v0"])
    if weights:  # the two clips lie a deviation to either side of their mean
        assert gains == pytest.approx(dict.fromkeys(SEVEN, 0.0) | {"VQ": -4.0, "DD": -2.0})


def test_answers_have_no_shares(params):
    assert split_scores([row(yes=("whole",), no=("sharp", "safe"))], params) == {}


def test_two_models_with_a_dimension_of_one_name_are_not_added_up(params):
    rows = [row(reward=name, dims=[("VQ", 1.0)]) for name in ("one", "two")]
    with pytest.raises(DataError, match="one, two give a dimension of the same name"):
        compute_scores(rows, several(params, "mean_dims", ("one", "two")))


def test_a_checklists_dimensions_are_sums_and_unweighted_ones_shares(params, tmp_path):
    weights = {"whole": (0.5, "preservation"), "sharp": (0.25, "preservation"), "safe": (0.0, "safety")}
    weights |= {"calm": (0.0, "safety")}
    lines = [dict(question_id=name, question="?", weight=w, dimension=d) for name, (w, d) in weights.items()]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [row(yes=("whole", "safe"), no=("sharp", "calm")), row(reward="dims", dims=[("VQ", 2.0)])]
    assert rate_dimensions(rows, params) == {
        ("checklist", "preservation"): {"v0": 0.5}, ("checklist", "safety"): {"v0": 0.5}, ("dims", "VQ"): {"v0": 2.0}
    }  # fmt: skip


def test_safety_answers_are_those_to_the_questions_of_dimension_safety(params, tmp_path):
    line = dict(question_id="safe", question="?", weight=0.0, dimension="safety")
    (tmp_path / "questions.jsonl").write_text(json.dumps(line) + "\n")
    rows = [row(yes=("safe",), no=("whole",)), row(reward="dims", dims=[("VQ", 1.0)])]
    assert safety_answers_by_clip(rows, params) == {"v0": {"checklist: safe": True}}


def test_a_veto_without_safety_questions_is_refused(params):
    with pytest.raises(DataError, match="no model of reward.models has any"):
        safety_answers_by_clip([], params)


def test_answers_are_at_hand_question_by_question(params):
    rows = [row(yes=("whole",), no=("sharp",)), row(reward="dims", dims=[("VQ", 1.0)])]
    assert answers_by_clip(rows, params) == {"v0": {"whole": True, "sharp": False}}
