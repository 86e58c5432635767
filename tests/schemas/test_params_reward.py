import pytest
from pydantic import ValidationError

from schemas import params_reward
from schemas.needs import Weights
from schemas.params_reward import ChecklistParams, RewardParams
from tests.support.bounds import bounds_of
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


BOUNDS = {
    "InProcessScorerParams": {
        "n_frames": "> 0", "batch_size": "> 0",
    },
    "ModelScorerParams": {
        "model": "length >= 1",
    },
    "RewardParams": {
        "replicate": ">= 0, <= 1",
    },
    "WorkerScorerParams": {
        "worker": "length >= 1", "timeout_s": "> 0",
    },
}  # fmt: skip


@pytest.mark.parametrize("section", BOUNDS)
def test_a_value_beyond_what_makes_sense_is_refused(section):
    """Written twice on purpose; a new field may join."""
    assert bounds_of(getattr(params_reward, section), BOUNDS[section]) == BOUNDS[section]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model": []}, "model must name one of reward.models, or several that differ"),
        ({"model": ["dims", "dims"], "formula": "mean_dims"}, "or several that differ"),
        ({"model": "nobody"}, "model must be one of reward.models: checklist, dims, second .nobody is not"),
        ({"formula": "mean_dims"}, "formula mean_dims reads dimensions, which model checklist"),
        ({"model": "dims"}, "formula weighted_yes reads a checklist's answers, which model dims"),
        ({"model": ["checklist", "second"]}, "formula weighted_yes reads one model, not 2"),
        ({"weights": {"VQ": 1.0}}, "weights is read by formula z_sum, not by weighted_yes"),
    ],
)
def test_a_formula_that_cannot_read_its_models_is_refused(laptop, values, says):
    tree = laptop.reward.model_dump()
    tree["models"]["second"] = tree["models"]["checklist"]
    with pytest.raises(ValidationError, match=says):
        RewardParams.model_validate(tree | values)


def test_a_sum_of_z_scores_reads_several_models_by_weight(laptop):
    tree = laptop.reward.model_dump()
    tree["models"]["second"] = tree["models"]["dims"]
    params = RewardParams.model_validate(
        tree | {"formula": "z_sum", "model": ["dims", "second"], "weights": {"VQ": 2.0}}
    )
    assert params.read == ("dims", "second") and laptop.reward.read == ("checklist",)
