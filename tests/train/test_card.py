import json

import pytest
from ruamel.yaml import YAML

from tests.support import tiny_policy
from train.base import NAMED, origin_of
from train.card import card
from train.run import KEPT
from train.sft import sft

LLAMA = "meta-llama/Meta-Llama-3-8B-Instruct"
ABOUT = {"stage": "dpo", "base": "sft", "origin": LLAMA, "weights": "1" * 16, "d_dpo": "2" * 16, "template": "3" * 16}


def test_the_card_names_the_data_the_base_and_whose_terms_hold():
    text = card(ABOUT)
    assert all(f"`{sign * 16}`" in text for sign in "123") and f"descends from | `{LLAMA}`" in text
    assert "a derivative's name begins with Llama 3" in text


def test_the_head_of_the_card_is_yaml_that_the_hub_reads():
    head = YAML(typ="safe").load(card(ABOUT).split("---")[1])
    assert head["library_name"] == "transformers" and "dpo" in head["tags"]


def test_a_model_made_here_says_so():
    text = card(ABOUT | {"origin": None})
    assert "a tiny model that this project made itself" in text and "Apache-2.0" in text


def test_the_origin_travels_from_the_named_base_to_a_model_of_a_model(tmp_path):
    for name, told in (
        (NAMED, {"name": LLAMA, "revision": "a" * 40}),
        ("model.json", {"origin": LLAMA, "base": "sft"}),
    ):
        (tmp_path / name).write_text(json.dumps(told))
        assert origin_of(tmp_path) == LLAMA
        (tmp_path / name).unlink()
    assert origin_of(tmp_path) is None


def test_a_base_in_a_folder_is_named_without_the_path_to_it(tmp_path):
    base, own, other = (tmp_path / name for name in ("base", "own", "Meta-Llama-3-8B"))
    for folder in (base, own, other):
        folder.mkdir()
    (base / NAMED).write_text(json.dumps({"name": str(other), "revision": None}))
    assert origin_of(base) == "Meta-Llama-3-8B"
    (base / NAMED).write_text(json.dumps({"name": str(own), "revision": None}))
    (own / "model.json").write_text(json.dumps({"origin": LLAMA}))
    assert origin_of(base) == LLAMA


def test_the_stage_writes_its_card(tiny_params, tiny_model, tmp_path, vpo_home):
    out = tmp_path / "data/models/sft"
    sft(tiny_policy.d_sft(), tiny_model, out, tiny_params)
    about = json.loads((out / "model.json").read_text())
    text = (out / "README.md").read_text()
    assert text == card(about) and about["d_sft"] in text and about["weights"] in text and "trl 1." in text
    assert "README.md" in KEPT


@pytest.mark.parametrize("lora", [None, {"r": 4, "lora_alpha": 8}])
def test_the_card_says_whether_adapters_were_trained(lora):
    assert ("LoRA, merged" in card(ABOUT | {"lora": lora})) == bool(lora)
