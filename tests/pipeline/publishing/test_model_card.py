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


def rows_of_table(text):
    return [line.strip("| ").split(" | ") for line in text.split("|---|---|\n")[1].split("\n\n")[0].splitlines()]


def test_every_fact_is_a_row_of_the_card_and_what_is_not_known_is_none():
    about = ABOUT | {
        "revision": "r1", "seed": 0, "lora": None, "libraries": {"trl": "1.0", "torch": "2.9"},
        "base": "data/models/sft",
    }  # fmt: skip
    rows = rows_of_table(model_card(about))
    assert rows[:-1] == [
        ["made by", "direct preference optimization on D_dpo"],
        ["trained from", "`data/models/sft` at `r1`"],
        ["hash of those weights", f"`{'1' * 16}`"],
        ["hash of the data", f"`{'2' * 16}`"],
        ["hash of the instruction's template", f"`{'3' * 16}`"],
        ["seed", "`0`"],
        ["adapter", "none: all weights were trained"],
        ["trained with", "trl 1.0, torch 2.9"],
        ["descends from", f"`{LLAMA}`"],
    ]
    assert rows[-1][0] == "terms of that model" and "Llama 3" in rows[-1][1]
    assert rows_of_table(model_card({"stage": "sft", "base": "x", "d_sft": "7"}))[:3] == [
        ["made by", "supervised fine-tuning on D_SFT"],
        ["trained from", "`x`"],
        ["hash of the data", "`7`"],
    ]


def test_the_head_of_the_card_names_its_stage_where_one_is_known():
    heads = [YAML(typ="safe").load(model_card(about).split("---")[1]) for about in (ABOUT, {"base": "x"})]
    tags = ["prompt-optimization", "text-to-video", "trl"]
    assert [head["tags"] for head in heads] == [[*tags, "dpo"], tags]
    assert [head["pipeline_tag"] for head in heads] == ["text-generation"] * 2
