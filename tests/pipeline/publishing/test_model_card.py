import json

import pytest
from ruamel.yaml import YAML

from pipeline.publishing.model_card import model_card
from pipeline.runtime.fingerprint import code_of
from tests.support import tiny_policy
from train.sft import sft

LLAMA = "meta-llama/Meta-Llama-3-8B-Instruct"
ABOUT = {"stage": "dpo", "base": "sft", "origin": LLAMA, "weights": "1" * 16, "d_dpo": "2" * 16, "template": "3" * 16}


def test_the_card_names_the_data_the_base_and_whose_terms_hold():
    text = model_card(ABOUT)
    assert all(f"`{sign * 16}`" in text for sign in "123") and f"descends from | `{LLAMA}`" in text
    assert "a derivative's name begins with Llama 3" in text


def test_the_head_of_the_card_is_yaml_that_the_hub_reads():
    head = YAML(typ="safe").load(model_card(ABOUT).split("---")[1])
    assert head["library_name"] == "transformers" and "dpo" in head["tags"]


def test_a_model_made_here_says_so():
    text = model_card(ABOUT | {"origin": None})
    assert "a tiny model that this project made itself" in text and "Apache-2.0" in text


def test_the_card_of_a_trained_model_is_rendered_from_its_model_json(tiny_params, tiny_model, tmp_path, vpo_home):
    out = tmp_path / "data/models/sft"
    sft(tiny_policy.d_sft(), tiny_model, out, tiny_params)
    about = json.loads((out / "model.json").read_text())
    text = model_card(about)
    assert about["d_sft"] in text and about["weights"] in text and "trl 1." in text and "D_SFT" in text


def test_no_training_stage_depends_on_the_words_of_a_card(root):
    for stage in ("base_model", "sft", "dpo"):
        assert not [path for path in code_of(root, f"train/{stage}.py") if path.startswith("pipeline/publishing/")]


@pytest.mark.parametrize("lora", [None, {"r": 4, "lora_alpha": 8}])
def test_the_card_says_whether_adapters_were_trained(lora):
    assert ("LoRA, merged" in model_card(ABOUT | {"lora": lora})) == bool(lora)
