import pytest

from tests.support.clip_scores import CLIPS, cosine_by_hand, params_of, score, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


def test_clip_is_a_hundred_times_the_mean_cosine_of_four_frames(clip_scorers):
    expected = [100 * cosine_by_hand(clip_scorers / "clip", item) for item in CLIPS]
    assert values(score(params_of(clip_scorers, "clip"))) == pytest.approx(expected, abs=2e-4)
