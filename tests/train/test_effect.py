"""A training without effect is refused."""

import pytest

from pipeline.runtime.io import DataError
from train.effect import have_equal_weights, refuse_less_than_a_batch, refuse_unchanged


def test_fewer_rows_than_one_batch_are_refused_by_the_models_name():
    refuse_less_than_a_batch(16, 16, "dpo_no_text")
    with pytest.raises(DataError, match="dpo_no_text: 15 rows to train on are fewer than one batch of 16"):
        refuse_less_than_a_batch(15, 16, "dpo_no_text")


@pytest.fixture
def write(tmp_path):
    import torch
    from safetensors.torch import save_file

    def make(name, dtype="float32", **values):
        folder = tmp_path / name
        folder.mkdir()
        for number, (tensor, value) in enumerate(values.items()):
            save_file({tensor: torch.full((2, 2), value, dtype=getattr(torch, dtype))},
                      folder / f"{number}.safetensors")  # fmt: skip
        return folder

    return make


@pytest.mark.slow
def test_equal_weights_are_noticed_over_files_and_precisions(write):
    origin = write("sft", a=1.0, b=2.0, tied=3.0)
    assert have_equal_weights(write("same", b=2.0, a=1.0), origin)
    assert have_equal_weights(write("half", dtype="bfloat16", a=1.0, b=2.0), origin)
    assert not have_equal_weights(write("moved", a=1.0, b=2.0001), origin)
    assert not have_equal_weights(write("other", c=1.0), origin)


@pytest.mark.slow
def test_an_arm_whose_weights_are_its_origins_is_refused_by_name(write):
    origin = write("sft", a=1.0)
    with pytest.raises(DataError, match="dpo: after training the weights are those of sft"):
        refuse_unchanged(write("model", a=1.0), origin, "dpo")
    refuse_unchanged(write("moved", a=1.5), origin, "dpo")
