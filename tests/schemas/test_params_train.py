import pytest

from schemas import params_train
from schemas.params_train import SftParams
from tests.support.bounds import bounds_of


def test_rows_without_padding_are_never_cut(laptop):
    values = laptop.sft.model_dump(mode="json")
    with pytest.raises(ValueError, match="padding_free cannot truncate: set long_rows to drop or refuse"):
        SftParams.model_validate(values | {"padding_free": True, "long_rows": "truncate"})
    assert SftParams.model_validate(values | {"padding_free": True, "long_rows": "refuse"}).padding_free


BOUNDS = {
    "DpoTrainParams": {
        "beta": "> 0", "held_out_share": ">= 0, < 0.5",
    },
    "LoraParams": {
        "r": "> 0", "lora_alpha": "> 0", "lora_dropout": ">= 0, < 1", "target_modules": "length >= 1",
    },
    "TrainParams": {
        "learning_rate": "> 0", "num_train_epochs": "> 0", "global_batch_size": "> 0",
        "per_device_train_batch_size": "> 0", "warmup_steps": ">= 0", "adam_beta1": "> 0, < 1",
        "adam_beta2": "> 0, < 1", "max_length": "> 0", "checkpoint_s": ">= 0",
    },
}  # fmt: skip


@pytest.mark.parametrize("section", BOUNDS)
def test_a_value_beyond_what_makes_sense_is_refused(section):
    """Written twice on purpose; a new field may join."""
    assert bounds_of(getattr(params_train, section), BOUNDS[section]) == BOUNDS[section]


def test_adapters_never_name_the_head():
    values = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0}
    with pytest.raises(ValueError, match="must not name lm_head"):
        params_train.LoraParams(**values, target_modules=("q_proj", "lm_head"))
    assert params_train.LoraParams(**values, target_modules=("q_proj",)).target_modules == ("q_proj",)
