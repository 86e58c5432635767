from typing import get_type_hints

import pytest

from pipeline.backends.policy import POLICIES
from pipeline.backends.renderer import RENDERERS
from pipeline.backends.reward import REWARD_MODELS
from pipeline.backends.teacher import TEACHERS
from schemas.backends import SEAMS, is_of_base_model, is_stand_in, params_classes

MAKERS = {"teacher": TEACHERS, "policy": POLICIES, "render": RENDERERS, "reward": REWARD_MODELS}


@pytest.mark.parametrize("seam", MAKERS)
def test_the_backends_in_the_type_of_a_seam_are_those_that_can_be_made(seam):
    assert set(params_classes(seam)) == set(MAKERS[seam])


def test_base_model_is_the_only_seam_without_a_maker():
    assert SEAMS.keys() - MAKERS.keys() == {"base_model"}  # train/base_model.py makes it


@pytest.mark.parametrize("seam", SEAMS)
def test_every_backend_declares_where_it_works(seam):
    assert {kind.NEEDS.device for kind in params_classes(seam).values()} <= {"cpu", "gpu", "host"}


def test_a_scorer_takes_the_params_class_of_its_name():
    for name, make in REWARD_MODELS.items():
        call = make.__init__ if isinstance(make, type) else make
        takes = get_type_hints(call)["params"]
        assert issubclass(params_classes("reward")[name], takes), name


def test_small_software_is_told_from_models_by_the_names_in_rows():
    stand_ins = {name for seam in SEAMS for name in params_classes(seam) if is_stand_in(name)}
    assert stand_ins == {"offline", "tiny", "offline_checklist", "offline_dims"}
    assert not is_stand_in("query")


def test_what_is_trained_here_has_the_terms_of_the_base_model():
    assert is_of_base_model("transformers") and not is_of_base_model("openai") and not is_of_base_model("offline")
