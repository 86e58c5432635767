"""r from the stored answers or dimensions, by a named formula, so that another formula scores no clip anew.

VPO sums weight x [answer is yes] over VisionReward's questions (the authors' process_data.py); Prompt-A-Video combines
dimensions.
"""

from collections.abc import Callable, Iterable
from statistics import fmean

from pipeline.io import DataError, read_rows
from schemas.params import Reward as RewardParams
from schemas.params import RewardModel
from schemas.reward import Question, Reward

Formula = Callable[[Reward], float]


def weighted_yes(model: RewardModel) -> Formula:
    """Sum of weight x [yes] over the question file: answers count 0 or 1, as in VPO, not -1 or 1 as in VisionReward."""
    if model.questions is None:
        raise DataError(f"reward.formula weighted_yes needs questions, and {model.backend} has none; try mean_dims")
    weights = {item.question_id: item.weight for item in read_rows(model.questions, Question)}

    def score(row: Reward) -> float:
        answers = {item.question_id: item.answer for item in row.answers}
        if answers.keys() != weights.keys():
            odd = sorted(answers.keys() ^ weights.keys())
            raise DataError(f"clip {row.video_id}: answers and {model.questions} differ in {', '.join(odd[:3])}")
        return sum(weight for name, weight in weights.items() if answers[name])

    return score


def mean_dims(model: RewardModel) -> Formula:
    """Mean over the dimensions as they are (ours: a plain check on a reward that was trained on)."""

    def score(row: Reward) -> float:
        if not row.dims:
            raise DataError(f"reward.formula mean_dims needs dimensions, and {row.reward} ({model.backend}) has none")
        return fmean(item.value for item in row.dims)

    return score


FORMULAS: dict[str, Callable[[RewardModel], Formula]] = {"weighted_yes": weighted_yes, "mean_dims": mean_dims}


def scores(rows: Iterable[Reward], params: RewardParams) -> dict[str, float]:
    """Return r by video_id, from the rows of the reward model that `params.model` names."""
    formula = FORMULAS[params.formula](params.models[params.model])
    return {row.video_id: formula(row) for row in rows if row.reward == params.model}


def answers(rows: Iterable[Reward], params: RewardParams) -> dict[str, dict[str, bool]]:
    """Return the answers by question_id by video_id, for rules that compare clips question by question."""
    return {
        row.video_id: {item.question_id: item.answer for item in row.answers}
        for row in rows
        if row.reward == params.model
    }
