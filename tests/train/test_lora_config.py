"""What peft is told; training with adapters is in test_lora.py."""

import pytest

from schemas.params_train import LoraParams
from train.lora import make_peft_config


@pytest.mark.slow
def test_every_param_of_adapters_is_handed_to_peft():
    values = {"r": 3, "lora_alpha": 5, "lora_dropout": 0.25, "target_modules": ("v_proj", "q_proj")}
    config = make_peft_config(LoraParams(**values))
    assert {*values} == {*LoraParams.model_fields}
    assert (config.r, config.lora_alpha, config.lora_dropout, config.task_type) == (3, 5, 0.25, "CAUSAL_LM")
    assert config.target_modules == {"q_proj", "v_proj"}


def test_without_adapters_all_weights_are_trained():
    assert make_peft_config(None) is None
