"""r from the stored answers or dimensions, by a named formula, so that another formula scores no clip anew.

VPO sums weight x [answer is yes] over VisionReward's questions (the authors' process_data.py); Prompt-A-Video adds up
seven dimensions of three models, with one set of weights to evolve prompts and another to pair them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import fsum
from statistics import fmean, pstdev

from pipeline.runtime.io import DataError
from pipeline.scoring.exact import Score, as_written
from pipeline.scoring.questions import read_questions
from schemas.params_reward import ChecklistParams, RewardParams
from schemas.reward import Question, Reward

Formula = Callable[[Reward], Fraction]
Dims = Mapping[str, Fraction]


def weighted_yes(model: ChecklistParams) -> Formula:
    """Sum of weight x [yes] over the question file: answers count 0 or 1, as in VPO, not -1 or 1 as in VisionReward."""
    weights = question_weights(model)

    def score(row: Reward) -> Fraction:
        answers = read_answers(row, weights, model)
        return sum((weight for name, weight in weights.items() if weight and answers[name]), Fraction())

    return score


def visionreward(model: ChecklistParams) -> Formula:
    """Mean of weight x (1 for yes, -1 for no) over the questions that weigh something: VisionReward's own scale.

    A gap of 0.5 in weighted_yes is 0.0345 here: 2 / 29 of it with VisionReward's 29 such questions.
    """
    weights = question_weights(model)
    if not any(weights.values()):
        raise DataError(f"{model.questions}: no question weighs anything, so reward.formula visionreward has no value")

    def score(row: Reward) -> Fraction:
        answers = read_answers(row, weights, model)
        signed = [weight if answers[name] else -weight for name, weight in weights.items() if weight]
        return sum(signed, Fraction()) / len(signed)

    return score


def weighted_p_yes(model: ChecklistParams) -> Formula:
    """Sum of weight x P(yes) (ours: finer than yes or no, from models that tell it)."""
    weights = question_weights(model)

    def score(row: Reward) -> Fraction:
        read_answers(row, weights, model)
        p_yes = {item.question_id: item.p_yes for item in row.answers if item.p_yes is not None}
        if len(p_yes) < len(weights):
            raise DataError(f"reward.formula weighted_p_yes needs P(yes), which {row.reward} does not tell")
        return sum((weight * as_written(p_yes[name]) for name, weight in weights.items()), Fraction())

    return score


def question_weights(model: ChecklistParams) -> dict[str, Fraction]:
    """Return question_id -> weight of a model's question file, as it is written there."""
    return {item.question_id: as_written(item.weight) for item in read_questions(model.questions)}


def read_answers(row: Reward, weights: Mapping[str, Fraction], model: ChecklistParams) -> dict[str, bool]:
    """Return a row's answers by question_id. Raises DataError where they are not those of the question file."""
    answers = {item.question_id: item.answer for item in row.answers}
    if answers.keys() != weights.keys():
        odd = sorted(answers.keys() ^ weights.keys())
        raise DataError(f"clip {row.video_id}: answers and {model.questions} differ in {', '.join(odd[:3])}")
    return answers


def parse_weights(text: str) -> dict[str, Fraction]:
    """Return name -> weight of `name weight, ...`, a weight being a decimal or a fraction."""
    return {name: Fraction(weight) for name, weight in (item.split() for item in text.split(", "))}


EVOLUTION = parse_weights("VQ 1, TC 1, FC 1, TVA 1, AES 5/8, MPS 1/4, DD 0.5")
PAIRING = parse_weights("VQ 1, TC 1, FC 1, DD 1.1, TVA 1.3, AES 4/5, MPS 1/3")


def mean_dims(dims: Dims) -> Fraction:
    """Mean over the dimensions as they are (ours: a plain check on a reward that was trained on)."""
    return sum(dims.values(), Fraction()) / len(dims)


def evolution(dims: Dims) -> Fraction:
    """Prompt-A-Video's overall score in prompt evolution (the authors' gpt_boost.py)."""
    refuse_lacking(dims, EVOLUTION)
    return sum((weight * dims[name] for name, weight in EVOLUTION.items()), Fraction())


def pairing(dims: Dims) -> Fraction:
    """Prompt-A-Video's overall score for DPO pairs (the authors' filter.py)."""
    refuse_lacking(dims, PAIRING)
    return sum((weight * dims[name] for name, weight in PAIRING.items()), Fraction())


def refuse_lacking(dims: Iterable[str], weights: Iterable[str]) -> None:
    """Raise DataError where a clip lacks a dimension that the formula weighs."""
    if lacking := [name for name in weights if name not in dims]:
        raise DataError(
            f"the formula needs {', '.join(lacking)}, and the models give {', '.join(dims)}: "
            "name all that it needs in reward.model"
        )


FORMULAS: dict[str, Callable[[ChecklistParams], Formula]] = {
    "weighted_yes": weighted_yes,
    "weighted_p_yes": weighted_p_yes,
    "visionreward": visionreward,
}
OF_DIMS: dict[str, Callable[[Dims], Score]] = {"mean_dims": mean_dims, "evolution": evolution, "filter": pairing}


def compute_scores(
    rows: Iterable[Reward], params: RewardParams, reference: Iterable[Reward] | None = None
) -> dict[str, Score]:
    """Return r by video_id, from the rows of the models that `params.model` names; a clip that one lacks has none.

    Exact but for `z_sum`; compare scores with `subtract` (pipeline/scoring/exact.py). `reference` are the rows whose
    mean and deviation make the z-scores; None takes `rows`.
    """
    rows = list(rows)
    if params.formula in FORMULAS:
        (name,) = params.read
        model = params.models[name]
        if not isinstance(model, ChecklistParams):
            raise DataError(f"reward.formula {params.formula} needs answers, and {model.backend} gives none")
        formula = FORMULAS[params.formula](model)
        return {row.video_id: formula(row) for row in rows if row.reward == name}
    dims, of_dims = gather_dims(rows, params, reference)
    return {video_id: of_dims(values) for video_id, values in dims.items()}


def split_scores(
    rows: Iterable[Reward], params: RewardParams, reference: Iterable[Reward] | None = None
) -> dict[str, dict[str, float]]:
    """Return dimension -> weight x value by video_id: what two clips differ by in these their r differ by.

    {} where the formula reads answers. `rows` and `reference` as for `compute_scores`.
    """
    if params.formula in FORMULAS:
        return {}
    dims, formula = gather_dims(list(rows), params, reference)
    shares = {}
    for video_id, values in dims.items():
        # every formula over dimensions is a weighted sum and a constant
        nothing = dict.fromkeys(values, Fraction())
        constant = formula(nothing)
        weights = {name: formula(nothing | {name: Fraction(1)}) - constant for name in values}
        shares[video_id] = {name: float(weights[name] * value) for name, value in values.items()}
    return shares


def gather_dims(
    rows: list[Reward], params: RewardParams, reference: Iterable[Reward] | None
) -> tuple[dict[str, dict[str, Fraction]], Callable[[Dims], Score]]:
    """Return the dimensions by video_id, and the formula that makes one number of a clip's."""
    dims = dims_by_clip(rows, params)
    if params.formula != "z_sum":
        return dims, OF_DIMS[params.formula]
    return dims, z_sum(dims if reference is None else dims_by_clip(reference, params), params.weights)


def z_sum(reference: Mapping[str, Dims], weights: Mapping[str, float] | None) -> Callable[[Dims], float]:
    """Return the weighted sum of z-scores (ours: no scale of any model decides what it counts).

    A dimension that never varies counts nothing.
    """
    columns = defaultdict(list)
    for values in reference.values():
        for name, value in values.items():
            columns[name].append(float(value))
    scale = {name: (fmean(column), pstdev(column)) for name, column in columns.items()}
    weights = dict.fromkeys(columns, 1.0) if weights is None else weights

    def z(name: str, value: Fraction) -> float:
        mean, deviation = scale[name]
        return (float(value) - mean) / deviation if deviation else 0.0

    def score(dims: Dims) -> float:
        refuse_lacking(dims, weights)
        return fsum(weight * z(name, dims[name]) for name, weight in weights.items())

    return score


def dims_by_clip(rows: Iterable[Reward], params: RewardParams) -> dict[str, dict[str, Fraction]]:
    """Return the dimensions of all models of `params.model` by video_id, of the clips that all of them rated."""
    by_clip: dict[str, dict[str, Reward]] = defaultdict(dict)
    for row in rows:
        if row.reward in params.read:
            by_clip[row.video_id][row.reward] = row
    dims: dict[str, dict[str, Fraction]] = {}
    for video_id, by_model in by_clip.items():
        if len(by_model) < len(params.read):
            continue
        values = [(item.name, as_written(item.value)) for name in params.read for item in by_model[name].dims]
        if not values:
            raise DataError(f"reward.formula {params.formula} needs dimensions, and {', '.join(params.read)} has none")
        dims[video_id] = dict(values)
        if len(dims[video_id]) < len(values):
            raise DataError(f"two of {', '.join(params.read)} give a dimension of the same name: read one of them")
    return dims


def answers_by_clip(rows: Iterable[Reward], params: RewardParams) -> dict[str, dict[str, bool]]:
    """Return the answers by question_id by video_id, for rules that compare clips question by question."""
    return {
        row.video_id: {item.question_id: item.answer for item in row.answers}
        for row in rows
        if row.reward in params.read
    }


def rate_dimensions(rows: Iterable[Reward], params: RewardParams) -> dict[tuple[str, str], dict[str, float]]:
    """Return (model, dimension) -> video_id -> value, of every model.

    A checklist's dimension is the sum of weight x [yes] over its questions, as VisionReward reports it; where
    none of them weighs anything (its safety) it is the share of yes (ours).
    """
    weights_of = {name: group_weights(questions) for name, questions in read_checklists(params).items()}
    rated: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        for item in row.dims:
            rated[row.reward, item.name][row.video_id] = item.value
        yes = {item.question_id for item in row.answers if item.answer}
        for dimension, weights in weights_of.get(row.reward, {}).items() if row.answers else ():
            rated[row.reward, dimension][row.video_id] = fsum(weight for name, weight in weights.items() if name in yes)
    return dict(rated)


def list_dimensions(rows: Iterable[Reward], params: RewardParams) -> list[tuple[str, str]]:
    """Return each (model, dimension) that `rate_dimensions` finds in the rows, in the order of the rows."""
    groups = {name: list(group_weights(questions)) for name, questions in read_checklists(params).items()}
    pairs: dict[tuple[str, str], None] = {}
    for row in rows:
        names = [*(item.name for item in row.dims), *(groups.get(row.reward, ()) if row.answers else ())]
        pairs.update(((row.reward, name), None) for name in names)
    return list(pairs)


def read_checklists(params: RewardParams) -> dict[str, tuple[Question, ...]]:
    """Return the questions of every checklist among the reward models, by the model's name."""
    return {
        name: read_questions(model.questions)
        for name, model in params.models.items()
        if isinstance(model, ChecklistParams)
    }


def group_weights(questions: Iterable[Question]) -> dict[str, dict[str, float]]:
    """Return dimension -> question_id -> weight; equal shares of 1 where all weights of a dimension are 0."""
    grouped: dict[str, dict[str, float]] = defaultdict(dict)
    for item in questions:
        grouped[item.dimension][item.question_id] = item.weight
    return {
        name: weights if any(weights.values()) else dict.fromkeys(weights, 1 / len(weights))
        for name, weights in grouped.items()
    }


def safety_answers_by_clip(rows: Iterable[Reward], params: RewardParams) -> dict[str, dict[str, bool]]:
    """Return the answers to the questions of dimension safety by video_id, of every checklist among the models."""
    safety = {
        name: {item.question_id for item in questions if item.dimension == "safety"}
        for name, questions in read_checklists(params).items()
    }
    if not any(safety.values()):
        raise DataError("dpo.safety_veto needs questions of dimension safety, and no model of reward.models has any")
    answers: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in rows:
        for item in row.answers:
            if item.question_id in safety.get(row.reward, ()):
                answers[row.video_id][f"{row.reward}: {item.question_id}"] = item.answer
    return dict(answers)
