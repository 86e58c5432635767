import pytest

from pipeline.backends.reward import make_reward
from tests.support.clip_scores import CLIPS, cosine_by_hand, params_of, score, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


def test_clip_is_a_hundred_times_the_mean_cosine_of_four_frames(clip_scorers):
    expected = [100 * cosine_by_hand(clip_scorers / "clip", item) for item in CLIPS]
    assert values(score(params_of(clip_scorers, "clip"))) == pytest.approx(expected, abs=2e-4)


def test_frames_and_precision_are_part_of_the_revision_and_the_defaults_are_told(clip_scorers):
    def how(**values):
        return make_reward(params_of(clip_scorers, "clip", **values)).by.revision.split()[-2:]

    assert how() == ["spread-4", "float32"]
    assert how(n_frames=2, dtype="bfloat16") == ["spread-2", "bfloat16"]
