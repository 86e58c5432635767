import pytest

from pipeline.backends.reward import make_reward
from pipeline.backends.reward.offline import OfflineChecklist, OfflineDims
from pipeline.backends.reward.self_test import Looking


@pytest.mark.parametrize(("name", "kind"), [("checklist", OfflineChecklist), ("dims", OfflineDims)])
def test_every_reward_model_has_to_show_that_it_looks(laptop, name, kind):
    params = laptop.reward.models[name]
    model = make_reward(params)
    assert isinstance(model, Looking) and isinstance(model.backend, kind)
    assert model.by.backend == params.backend and not model.looks
