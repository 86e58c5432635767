import importlib.util
import json
from pathlib import Path

import pytest

from pipeline.runtime.io import DataError
from pipeline.runtime.locks import hold_lock
from schemas.params_train import LoraParams
from tests.support import tiny_policy
from train.dpo import dpo
from train.sft import sft
from train.trainer import describe_setting, make_arguments, open_work_folder, save_model

LORA = LoraParams(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=("q_proj", "v_proj"))


@pytest.fixture(scope="module")
def section(laptop):
    return lambda **values: laptop.sft.model_copy(update=values)


@pytest.mark.parametrize("tracker", ["trackio", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_one_clear_error(section, tmp_path, tracker):
    if importlib.util.find_spec(tracker):
        pytest.skip(f"{tracker} is installed")
    with pytest.raises(DataError, match=f"{tracker} is not installed: pip install {tracker}"):
        make_arguments(section(report_to=tracker), 0, tmp_path)


@pytest.mark.slow
def test_a_param_says_whom_the_curve_is_told_to(section, tmp_path):
    assert make_arguments(section(), 0, tmp_path)["report_to"] == "none"


HANDED_ON = {
    "learning_rate": 3e-5, "num_train_epochs": 7.0, "max_steps": 11, "warmup_steps": 0.3, "lr_scheduler_type": "cosine",
    "adam_beta1": 0.81, "adam_beta2": 0.97, "max_length": 77, "bf16": True, "report_to": "none",
}  # fmt: skip
"""Params that TRL spells as we do, none at the library's own value."""
READ_ELSEWHERE = {"long_rows", "lora", "launch", "checkpoint_s", "padding_free"}


@pytest.mark.slow
def test_every_param_of_training_and_the_seed_are_handed_to_trl(section, tmp_path):
    others = {"global_batch_size": 12, "per_device_train_batch_size": 3, "gradient_checkpointing": True}
    params = section(**HANDED_ON, **others)
    arguments = make_arguments(params, 5, tmp_path)
    taken = {
        "seed": 5, "output_dir": str(tmp_path), "per_device_train_batch_size": 3, "gradient_accumulation_steps": 4,
        "activation_checkpointing": True, "save_strategy": "no", "use_cache": True, "logging_steps": 1,
    }  # fmt: skip
    assert {name: arguments.get(name) for name in HANDED_ON | taken} == HANDED_ON | taken
    assert arguments["model_init_kwargs"]["use_safetensors"] is True
    assert {*type(params).model_fields} == {*HANDED_ON, *others, *READ_ELSEWHERE}


@pytest.mark.slow
def test_bfloat16_weights_are_for_zero_alone(section, tmp_path, monkeypatch):
    def dtype(**values):
        return make_arguments(section(**values), 0, tmp_path)["model_init_kwargs"]["dtype"]

    assert (dtype(bf16=False), dtype(bf16=True)) == ("float32", "float32")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert (dtype(bf16=False), dtype(bf16=True)) == ("float32", "bfloat16")


@pytest.mark.slow
def test_a_run_under_zero_has_a_key_of_its_own(section, monkeypatch):
    plain = describe_setting(section())
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert describe_setting(section()) != plain


class Trained:
    """A trainer whose saving writes `files` and then may die; its model is nobody's to change."""

    is_deepspeed_enabled = True

    def __init__(self, files, dies=False, main=True):
        self.files, self.dies, self.main = files, dies, main

    def save_model(self, folder):
        Path(folder).mkdir(parents=True)
        for name in self.files:
            if name.endswith("/"):
                (Path(folder) / name).mkdir()
            else:
                (Path(folder) / name).write_text(name)
        if self.dies:
            raise KeyboardInterrupt

    def is_world_process_zero(self):
        return self.main


WEIGHTS = ["model.safetensors", "config.json", "tokenizer.json"]


def test_a_model_folder_holds_no_pickle_and_no_state(tmp_path):
    strange = ["training_args.bin", "optimizer.pt", "trainer_state.json", "pytorch_model.bin", "README.md"]
    save_model(Trained(WEIGHTS + strange), tmp_path / "work", tmp_path / "sft", {"stage": "sft"}, {"steps": 1})
    assert {path.name for path in (tmp_path / "sft").iterdir()} == {*WEIGHTS, "model.json"}


def test_a_save_that_dies_leaves_what_was_there(tmp_path):
    out = tmp_path / "data/models/sft"
    with pytest.raises(KeyboardInterrupt):
        save_model(Trained(WEIGHTS, dies=True), tmp_path / "1", out, {}, {})
    assert not out.exists()
    save_model(Trained(WEIGHTS), tmp_path / "2", out, {"at": 2}, {})
    with pytest.raises(IsADirectoryError):  # the copy fails when some files lie in the new folder already
        save_model(Trained([*WEIGHTS, "unreadable.safetensors/"]), tmp_path / "3", out, {"at": 3}, {})
    assert '"at": 2' in (out / "model.json").read_text()
    assert [path.name for path in out.parent.iterdir()] == ["sft"]


def test_what_a_killed_save_left_is_swept(tmp_path):
    stale = tmp_path / ".sft.99999.new.tmp"
    stale.mkdir()
    (stale / "model.safetensors").write_text("half")
    save_model(Trained(WEIGHTS), tmp_path / "work", tmp_path / "sft", {}, {})
    assert not stale.exists()


def test_only_the_main_process_writes(tmp_path, vpo_home, monkeypatch):
    save_model(Trained(WEIGHTS, main=False), tmp_path / "work", tmp_path / "sft", {}, {})
    assert not (tmp_path / "sft").exists()
    with open_work_folder("0f", tmp_path / "sft") as folder:
        (folder / "half").touch()
        monkeypatch.setenv("RANK", "1")
        with open_work_folder("0f", tmp_path / "sft") as same:  # it neither waits for the lock nor empties the folder
            assert same == folder and (folder / "half").exists()


def test_a_second_run_of_a_stage_is_refused_and_the_work_folder_goes(tmp_path, vpo_home):
    with open_work_folder("0f", tmp_path / "sft") as folder:
        assert list(folder.iterdir()) == []
        with pytest.raises(DataError, match="another run is writing it"), hold_lock(tmp_path / "sft"):
            pass
    assert not folder.exists()


@pytest.fixture
def half_base(tiny_model, tmp_path):
    """Give the tiny model as a folder of bfloat16 weights."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype="bfloat16").save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def read_types(folder):
    """Return the types of the stored tensors, and the one that config.json names."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors").values()
    return {str(tensor.dtype) for tensor in tensors}, json.loads((folder / "config.json").read_text())["dtype"]


STEPS = {"learning_rate": 1e-2, "warmup_steps": 0}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_trained_policy_has_its_bases_type_or_the_params(lora, tiny_params, half_base, tmp_path, vpo_home):
    out, wide = tmp_path / "data/models/sft", tmp_path / "data/models/wide"
    sft(tiny_policy.d_sft(), half_base, out, tiny_policy.params(tiny_params, sft=STEPS | {"lora": lora}))
    assert read_types(out) == ({"torch.bfloat16"}, "bfloat16")
    dpo(tiny_policy.d_dpo(), out, tmp_path / "dpo", tiny_policy.params(tiny_params, dpo_train=STEPS | {"lora": lora}))
    assert read_types(tmp_path / "dpo") == ({"torch.bfloat16"}, "bfloat16")
    params = tiny_policy.params(tiny_params, sft=STEPS | {"lora": lora}, policy={"dtype": "float32"})
    sft(tiny_policy.d_sft(), half_base, wide, params)
    assert read_types(wide) == ({"torch.float32"}, "float32")
