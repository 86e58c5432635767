import pytest

from tests.support.clip_scores import CLIPS, cosine_by_hand, params_of, score, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


def test_hps_is_the_cosine_as_it_is(clip_scorers):
    outcomes = score(params_of(clip_scorers, "hpsv2"))
    assert [outcome.value.dims[0].name for outcome in outcomes] == ["HPS", "HPS"]
    assert values(outcomes) == pytest.approx([cosine_by_hand(clip_scorers / "clip", item) for item in CLIPS], abs=1e-5)
