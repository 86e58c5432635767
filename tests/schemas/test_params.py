import pytest
from ruamel.yaml import YAML

from schemas.backends import SEAMS
from schemas.params import Params
from schemas.section import section_classes

SECTIONS = {
    "teacher": "teacher",
    "judge": "teacher",
    "base_model": "base_model",
    "policy": "policy",
    "render": "render",
}
PARAM_FILES = ["params.yaml", "recipes/prompt-a-video.yaml", "recipes/vpo-cogvideox-2b.yaml"]


def keys_of(seam):
    return {key for kind in section_classes(SEAMS[seam]) for key in kind.model_fields}


def read(path):
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_every_backend_stands_in_the_file(root, section):
    """So that `-S` sets it without a plus sign."""
    assert set(read(root / "params.yaml")[section]) == keys_of(SECTIONS[section])


@pytest.mark.parametrize("path", PARAM_FILES)
def test_every_key_of_every_reward_backend_stands_with_each_model(root, path):
    for name, model in read(root / path)["reward"]["models"].items():
        assert set(model) == keys_of("reward"), name


def test_the_keys_of_a_served_policy_stand_in_the_file(root):
    (endpoint,) = {
        kind
        for policy in section_classes(SEAMS["policy"])
        if "endpoint" in policy.model_fields
        for kind in section_classes(policy.model_fields["endpoint"].annotation)
    }
    assert set(read(root / "params.yaml")["policy"]["endpoint"]) == set(endpoint.model_fields)


def test_every_chosen_backend_is_listed_by_its_place(laptop):
    assert list(laptop.backends) == [
        "teacher", "judge", "base_model", "policy", "render", "reward.models.checklist", "reward.models.dims",
    ]  # fmt: skip
    assert all(section.needs.stand_in for place, section in laptop.backends.items() if place != "policy")


def test_an_arm_names_its_video_pairs_and_a_lane_has_a_reader(laptop):
    tree = laptop.model_dump()
    dpo = tree["dpo"]
    arms = dpo["arms"]
    dpo["arms"] = arms | {"dpo_flipped": {"labels": "flipped"}}
    with pytest.raises(ValueError, match="arms.dpo_flipped.video must name the file of its video pairs"):
        Params.model_validate(tree)
    dpo["arms"] = {"dpo_video_only": arms["dpo_video_only"]}
    with pytest.raises(ValueError, match="unchecked renders lane dpo_unchecked, and no arm reads its pairs"):
        Params.model_validate(tree)
    Params.model_validate(tree | {"dpo": dpo | {"unchecked": {}}})
    Params.model_validate(tree | {"dpo": dpo | {"sources": {"video": "data/dpo_unchecked/d_video.jsonl"}}})


def test_evaluated_arms_and_pairs_agree(laptop):
    tree = laptop.model_dump()
    tree["evaluate"]["versus"] = [["dpo", "nobody"]]
    with pytest.raises(ValueError, match="versus names nobody, which evaluate.arms does not have"):
        Params.model_validate(tree)
