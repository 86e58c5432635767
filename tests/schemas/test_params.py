import pytest
from ruamel.yaml import YAML

from schemas import params
from schemas.backends import SEAMS
from schemas.params import Params
from schemas.section import section_classes
from tests.support.bounds import bounds_of

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


@pytest.mark.parametrize("lane", ["data", "d_video", "raw", "refused"])
def test_a_lane_that_only_shares_a_word_with_a_path_has_no_reader(laptop, lane):
    tree = laptop.model_dump()
    tree["dpo"]["unchecked"][lane] = {}
    with pytest.raises(ValueError, match=f"unchecked renders lane {lane}, and no arm reads its pairs"):
        Params.model_validate(tree)


@pytest.mark.parametrize("read", ["the arm's", "all arms'"])
def test_pairs_of_a_lane_that_nothing_renders_are_refused(laptop, read):
    dpo = laptop.model_dump()["dpo"] | {"unchecked": {}}
    if read == "all arms'":
        dpo |= {"arms": {}, "sources": dpo["sources"] | {"video": "data/dpo_unchecked/d_video.jsonl"}}
    with pytest.raises(ValueError, match="d_video.jsonl is read, and unchecked has no lane dpo_unchecked"):
        Params.model_validate(laptop.model_dump() | {"dpo": dpo})


def test_the_lane_dpo_is_no_unchecked_one(laptop):
    tree = laptop.model_dump()
    tree["dpo"]["unchecked"]["dpo"] = {}
    with pytest.raises(ValueError, match="unchecked must not name lane dpo: it renders what passed the text check"):
        Params.model_validate(tree)


@pytest.mark.parametrize("path", ["data/raw/d_video.jsonl", "data/raw/mine/d_video.jsonl", "mine/d_video.jsonl"])
def test_pairs_of_ones_own_need_no_lane(laptop, path):
    tree = laptop.model_dump()
    tree["dpo"]["arms"]["dpo_video_only"]["video"] = path
    Params.model_validate(tree)


def test_a_second_graph_has_its_lanes_below_its_own_name(laptop):
    tree = laptop.model_dump()
    for arm in tree["dpo"]["arms"].values():
        arm["video"] = arm["video"].replace("data/", "data/second/")
    Params.model_validate(tree)


def test_evaluated_arms_and_pairs_agree(laptop):
    tree = laptop.model_dump()
    tree["evaluate"]["versus"] = [["dpo", "nobody"]]
    with pytest.raises(ValueError, match="versus names nobody, which evaluate.arms does not have"):
        Params.model_validate(tree)


BOUNDS = {
    "BaseParams": {
        "seed": ">= 0", "stop_share": "> 0, <= 1", "stop_after": ">= 1",
    },
    "CritiqueParams": {
        "votes": ">= 1",
    },
    "DpoParams": {
        "reward_gap": ">= 0", "pairs_per_query": "> 0", "min_effect": "> 0", "target": "length >= 1", "round": ">= 1",
    },
    "EvaluateParams": {
        "suites": "length >= 1", "bootstrap": ">= 100",
    },
    "PackageParams": {
        "held_out_share": ">= 0, < 1",
    },
    "QueriesParams": {
        "limit": "> 0", "min_words": ">= 1", "max_words": ">= 1", "max_characters": ">= 1",
        "max_symbol_share": "> 0, <= 1", "languages": "length >= 1", "max_similarity": "> 0, <= 1",
        "unsafe_threshold": "> 0, <= 1", "sft": ">= 0", "sft_safety": ">= 0", "dpo": ">= 0", "dpo_safety": ">= 0",
        "test": ">= 0", "test_safety": ">= 0", "sample_balance": ">= 0, <= 1",
    },
    "RefineParams": {
        "verify": ">= 0",
    },
    "SemanticParams": {
        "model": "length >= 1", "threshold": "> 0, <= 1",
    },
    "WorldParams": {
        "queries": "> 0", "teacher_flaws": ">= 0, <= 1", "teacher_simplifies": ">= 0, <= 1",
        "teacher_keeps_unsafe": ">= 0, <= 1", "teacher_refuses": ">= 0, <= 1", "critic_recall_own": ">= 0, <= 1",
        "critic_recall_own_unsafe": ">= 0, <= 1", "critic_recall": ">= 0, <= 1", "critic_recall_unsafe": ">= 0, <= 1",
        "critic_false_alarms": ">= 0, <= 1", "load": ">= 0", "drama": ">= 0, <= 1",
    },
}  # fmt: skip


@pytest.mark.parametrize("section", BOUNDS)
def test_a_value_beyond_what_makes_sense_is_refused(section):
    """Written twice on purpose; a new field may join."""
    assert bounds_of(getattr(params, section), BOUNDS[section]) == BOUNDS[section]


@pytest.mark.parametrize(
    ("section", "values", "says"),
    [
        ("queries", {"path": "a.csv"}, "path must be null for source synthetic"),
        ("queries", {"source": "file"}, "path must be set for source file"),
        ("queries", {"source": "file", "path": "a.csv", "revision": "a" * 40}, "revision is read by source hub alone"),
        ("queries", {"source": "hub", "path": "a/b"}, "revision must name the 40-hex commit"),
        ("queries", {"min_words": 61}, "min_words must not exceed max_words"),
        ("queries", {"sample": "uniform", "sample_balance": 0.5}, "sample_balance must be null for sample uniform"),
        ("queries", {"sample": "uniform", "sample_balance": None, "sample_weights": {}}, "sample_weights must be null"),
        ("critique", {"votes": 2}, "must be odd: an even number of votes can tie"),
        ("dpo", {"min_effect": 1.0}, "dpo.min_effect needs reward.replicate above 0"),
        ("render", {"long_prompts": "shorten"}, "render.long_prompts shorten needs teacher.backend openai"),
    ],
)
def test_what_does_not_go_together_is_refused(laptop, section, values, says):
    tree = laptop.model_dump()
    tree["reward"]["replicate"] = 0.0
    tree[section] |= values
    with pytest.raises(ValueError, match=says):
        Params.model_validate(tree)


def test_what_just_goes_together_is_taken(laptop):
    tree = laptop.model_dump()
    tree["queries"] |= {"min_words": 7, "max_words": 7, "source": "hub", "path": "a/b", "revision": "a" * 40}
    tree["queries"] |= {"sample": "stratified", "sample_balance": 0.5, "sample_weights": {}}
    tree["critique"]["votes"] = 3
    tree["reward"]["replicate"], tree["dpo"]["min_effect"] = 0.1, 1.0
    Params.model_validate(tree)


def test_an_arm_departs_from_dpo_by_what_it_says_alone():
    assert params.TrainedArmParams().model_dump() == {
        "text_feedback": True, "video_feedback": True, "labels": "kept", "video": None,
    }  # fmt: skip


def test_an_arm_takes_the_pairs_of_dpo_but_for_its_own_file_of_video_pairs(laptop):
    dpo = laptop.dpo.model_copy(update={"sources": {"text": "data/a.jsonl", "video": "data/b.jsonl"}})
    assert dpo.sources_of(params.TrainedArmParams()) == dpo.sources
    own = params.TrainedArmParams(video="data/c.jsonl")
    assert dpo.sources_of(own) == {"text": "data/a.jsonl", "video": "data/c.jsonl"} != dpo.sources
