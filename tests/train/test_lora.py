import pytest

from schemas.params_train import LoraParams
from tests.support import tiny_policy
from train.dpo import dpo
from train.lora import merge_adapter
from train.sft import sft

# TRL and peft ask transformers by the old name
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.slow,
]

LORA = LoraParams(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=("q_proj", "v_proj", "down_proj"))
HIGH = {"lora": LORA, "learning_rate": 1e-2, "warmup_steps": 0}


@pytest.fixture(scope="module")
def weights():
    from safetensors.torch import load_file

    return lambda folder: load_file(folder / "model.safetensors")


def test_the_out_folder_is_a_plain_model_that_differs_in_the_named_layers_alone(
    tiny_params, tiny_model, tmp_path, vpo_home, weights
):
    out = tmp_path / "data/models/sft"
    sft(tiny_policy.d_sft(), tiny_model, out, tiny_policy.params(tiny_params, sft=HIGH))
    assert not [path.name for path in out.iterdir() if "adapter" in path.name]
    before, after = weights(tiny_model), weights(out)
    changed = {name.split(".")[-2] for name in before if not before[name].equal(after[name])}
    assert before.keys() == after.keys() and changed == set(LORA.target_modules)
    same = ("config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja")
    full = tmp_path / "data/models/full"
    sft(tiny_policy.d_sft(), tiny_model, full, tiny_params)
    assert all((out / name).read_bytes() == (full / name).read_bytes() for name in same)


def test_the_merge_is_the_scaled_product_of_the_adapters_by_plain_torch(tiny_model, tmp_path, weights):
    import torch
    from peft import get_peft_model
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from train.lora import make_peft_config

    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), make_peft_config(LORA))
    draws = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=draws)
    model.save_pretrained(tmp_path / "adapter")
    merge_adapter(tmp_path / "adapter", model, "float32", "float32", tmp_path / "merged")
    adapter, before, after = (
        load_file(tmp_path / "adapter/adapter_model.safetensors"),
        *map(weights, (tiny_model, tmp_path / "merged")),
    )
    for layer in (name.removesuffix(".weight") for name in before):
        a, b = (adapter.get(f"base_model.model.{layer}.lora_{side}.weight") for side in "AB")
        wanted = before[f"{layer}.weight"] if f"{layer}.weight" in before else None
        if a is not None:
            wanted = wanted + 2 * b @ a  # lora_alpha / r
        if wanted is not None:
            assert torch.allclose(after[f"{layer}.weight"], wanted, atol=1e-6), layer


def test_equal_inputs_give_equal_bytes(tiny_params, tiny_model, tmp_path, vpo_home):
    params = tiny_policy.params(tiny_params, dpo_train=HIGH | {"lora": LORA.model_copy(update={"lora_dropout": 0.1})})
    for name in ("one", "two"):
        dpo(tiny_policy.d_dpo(), tiny_model, tmp_path / name, params)
    assert tiny_policy.contents(tmp_path / "one") == tiny_policy.contents(tmp_path / "two")


def test_an_adapter_on_the_head_is_refused():
    with pytest.raises(ValueError, match="must not name lm_head"):
        LoraParams(r=4, lora_alpha=8, lora_dropout=0, target_modules=("lm_head",))
