"""Scores that no formula may read: none at all, or a value that is no number."""

from math import isfinite

from schemas.reasons import Reason
from schemas.seams import Outcome, Scores


def refuse_unsound(outcome: Outcome[Scores]) -> Outcome[Scores]:
    """Return the outcome, without its scores where no formula may read them: none at all, or one that is no number."""
    scores = outcome.value
    if scores is None:
        return outcome
    values = [(item.name, item.value) for item in scores.dims]
    values += [(item.question_id, item.p_yes) for item in scores.answers if item.p_yes is not None]
    odd = [f"{name} is {value}" for name, value in values if not isfinite(value)]
    if not scores.answers and not scores.dims:
        odd = ["the model gave neither answers nor dimensions"]
    return Outcome(by=outcome.by, reason=Reason.NO_SCORE, detail=", ".join(odd[:5])) if odd else outcome
