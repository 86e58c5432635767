import pytest
from pydantic import ValidationError

from schemas.needs import Weights
from schemas.params_reward import ChecklistParams
from tests.support.params import section_of

COMMIT = "a" * 40


def model(backend, **values):
    return section_of("reward", backend=backend, scored_text="query", **values)


def test_a_reward_model_without_weights_needs_no_model():
    assert model("offline_dims").needs.weights is None and model("offline_dims").needs.device == "cpu"


@pytest.mark.parametrize("backend", ["videoscore", "clip", "mps", "hpsv2"])
def test_one_with_weights_names_what_must_be_pinned(backend):
    needs = model(backend, model="a/b", revision=COMMIT).needs
    assert needs.weights == Weights("a/b", COMMIT) and "reward" in needs.extras


@pytest.mark.parametrize(
    ("backend", "lacking"),
    [
        ("offline_checklist", "questions"),
        ("checklist", "questions, model"),
        ("visionreward", "questions, model, worker"),
        ("videoalign", "model, worker"),
        ("aesthetic", "model, head"),
        ("clip", "model"),
    ],
)
def test_what_a_backend_lacks_is_named(backend, lacking):
    with pytest.raises(ValidationError) as fault:
        model(backend)
    assert set(str(fault.value).split(" needs ")[1].split(":")[0].split(", ")) == set(lacking.split(", "))


def test_a_worker_runs_in_its_own_environment():
    needs = model("videoalign", model="a/b", revision=COMMIT, worker=["python", "w.py"]).needs
    assert needs.program == ("python", "w.py") and needs.weights == Weights("a/b", COMMIT)
    assert "reward" not in needs.extras


def test_checklists_are_told_by_their_class():
    assert isinstance(model("offline_checklist", questions="q"), ChecklistParams)
    assert not isinstance(model("offline_dims"), ChecklistParams)


def test_a_head_is_read_by_aesthetic_alone():
    with pytest.raises(ValidationError, match="head is read by aesthetic, not by clip: set it to null"):
        model("clip", model="a/b", head="h")
