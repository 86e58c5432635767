"""VPO's score and dominance on made answer sheets, against numpy on the authors' formulas."""

import numpy as np
import pytest

from pipeline.d_video import Feedback, d_video
from pipeline.scoring.formulas import FORMULAS, answers_by_clip, compute_scores
from pipeline.scoring.questions import read_questions
from schemas.params_reward import RewardParams
from schemas.reward import Answer, Reward
from tests.support.made_questions import WORDS
from tests.support.params import section_of
from tests.support.rows import BY, render_row

N, SIBLINGS = 1000, 4
N_WEIGHTS = 29


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("questions") / "VisionReward_video_qa.txt"
    path.write_text("\n".join(WORDS) + "\n")
    worker = ("python", "visionreward.py")
    values = {"backend": "visionreward", "questions": str(path), "scored_text": "query", "worker": worker}
    return section_of("reward", **values, model="THUDM/VisionReward-Video", revision="0" * 40)


@pytest.fixture(scope="module")
def weights(model):
    """The vector over 64 questions; test_questions compares its hash with the authors'."""
    return np.array([item.weight for item in read_questions(model.questions)])


@pytest.fixture(scope="module")
def sheets():
    """Yes or no, (1000, 64); siblings in fours share most answers, so that some dominate others."""
    draws = np.random.default_rng(7)
    base = np.repeat(draws.random((N // SIBLINGS, 64)) < draws.random((N // SIBLINGS, 1)), SIBLINGS, axis=0)
    better = np.repeat(draws.random((N // SIBLINGS, 64)) < 0.3, SIBLINGS, axis=0)
    steps = np.tile(np.array([0, 1, 0, 1], bool), N // SIBLINGS)[:, None]
    sheet = base | (better & steps)
    noisy = draws.random((N, 1)) < 0.5
    sheet ^= noisy & (draws.random((N, 64)) < 0.1)
    sheet[0], sheet[1] = False, True
    return sheet


@pytest.fixture(scope="module")
def rows(sheets):
    return [
        Reward(
            video_id=f"v{number}", query_id="q", prompt_id="p", frames_hash="f" * 32, reward="vr", scored_text="a dog",
            answers=[Answer(question_id=f"q{at}", answer=bool(yes)) for at, yes in enumerate(sheet, 1)], dims=(),
            scored_by=BY,
        )
        for number, sheet in enumerate(sheets)
    ]  # fmt: skip


def asking(model, formula):
    return RewardParams(models={"vr": model}, formula=formula, model="vr", weights=None, replicate=0.0)


def test_vpos_scale_is_the_sum_of_the_weights_of_yes(model, weights, sheets, rows):
    found = np.array([FORMULAS["weighted_yes"](model)(row) for row in rows], float)
    np.testing.assert_allclose(found, sheets.astype(float) @ weights, atol=1e-12)
    assert (found[0], round(found[1], 4)) == (0.0, 6.2772)


def test_the_repositorys_scale_is_the_mean_of_signed_weights(model, weights, sheets, rows):
    found = np.array([FORMULAS["visionreward"](model)(row) for row in rows], float)
    counted = weights != 0
    signs = np.where(sheets[:, counted], 1, -1)
    np.testing.assert_allclose(found, (signs * weights[counted]).mean(axis=1), atol=1e-12)
    assert (round(found[0], 4), round(found[1], 4)) == (-0.2165, 0.2165)


def authors_pairs(sheets, weights, gap):
    """Return the pairs of the authors' process_data.py: the first in each four that dominates and exceeds the gap."""
    said = np.where(sheets, "yes", "no")
    score = (said == "yes") @ weights
    found = []
    for start in range(0, len(sheets), SIBLINGS):
        for i in range(start, start + SIBLINGS):
            hit = None
            for j in range(start, start + SIBLINGS):
                lost = ((said[i] == "no") & (said[j] == "yes")).any()
                won = ((said[i] == "yes") & (said[j] == "no")).any()
                if won and not lost and score[i] - score[j] > gap:
                    hit = (f"v{i}", f"v{j}")
                    break
            if hit:
                found.append(hit)
                break
    return found


@pytest.mark.parametrize(("formula", "gap"), [("weighted_yes", 0.5), ("visionreward", 0.5 * 2 / N_WEIGHTS)])
def test_the_pairs_are_those_of_the_authors_rule_on_both_scales(laptop, model, weights, sheets, rows, formula, gap):
    clips = [
        render_row(f"v{number}", query=f"a dog {number // SIBLINGS}", prompt=f"v{number}", sample=number % SIBLINGS)
        for number in range(N)
    ]
    rule = dict(reward_gap=gap, dominance="question", video_pairs="first", pairs_per_query=1)
    reward = asking(model, formula)
    told = Feedback(compute_scores(rows, reward), answers_by_clip(rows, reward))
    made = d_video(clips, told, laptop.dpo.model_copy(update=rule))
    found = [(item.chosen, item.rejected) for item in made if hasattr(item, "chosen")]
    expected = authors_pairs(sheets, weights, 0.5)
    assert found == expected and 50 < len(found) < 240
