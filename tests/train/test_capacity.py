import errno
import re
import resource
import signal

import pytest

from pipeline.runtime.io import DataError
from schemas.params_train import LoraParams
from train.capacity import (
    count_merge_bytes,
    count_parameters,
    estimate_bytes,
    explain_exhaustion,
    refuse_full_disk,
    refuse_merge_without_memory,
    refuse_too_large,
)

LORA = LoraParams(r=16, lora_alpha=16, lora_dropout=0.0, target_modules=("q_proj",))
B8 = 8_030_261_248
GB = 10**9


@pytest.fixture
def train(laptop):
    return lambda **values: laptop.sft.model_copy(update=values)


@pytest.fixture
def dpo_train(laptop):
    return lambda **values: laptop.dpo.train.model_copy(update=values)


@pytest.mark.slow
def test_the_weights_of_llama_3_8b_are_counted_from_its_config(tmp_path):
    from transformers import LlamaConfig

    LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, architectures=["LlamaForCausalLM"],
    ).save_pretrained(tmp_path)  # fmt: skip
    assert count_parameters(str(tmp_path)) == B8


@pytest.mark.slow
def test_a_folder_without_a_config_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="no model's config.json"):
        count_parameters(str(tmp_path))


def test_what_training_needs(train, dpo_train):
    assert estimate_bytes(100, train(), sharded=False) == 1600  # weights, gradients, two moments, of four bytes
    assert estimate_bytes(100, train(bf16=True), sharded=True) == 1600  # 2 + 2 + 8 + a master copy of 4
    assert estimate_bytes(1000, train(lora=LORA), sharded=False) < 4500
    assert estimate_bytes(100, dpo_train(precompute_ref_log_probs=False), sharded=False) == 2000
    assert estimate_bytes(100, dpo_train(precompute_ref_log_probs=True), sharded=False) == 1600


def test_merging_an_adapter_takes_a_second_model_where_zero_shards_the_first_alone(train):
    assert count_merge_bytes(100, train(lora=LORA), sharded=False) == 0
    assert count_merge_bytes(100, train(), sharded=True) == 0
    assert count_merge_bytes(100, train(lora=LORA), sharded=True) == 400
    assert count_merge_bytes(100, train(lora=LORA, bf16=True), sharded=True) == 200


def test_a_merge_that_main_memory_cannot_hold_is_refused_before_training(train):
    refuse_merge_without_memory("big", B8, train(lora=LORA, bf16=True), True, 17 * GB)
    with pytest.raises(DataError, match="big: merging the adapter into 8.0B weights takes 16 GB of main memory and"):
        refuse_merge_without_memory("big", B8, train(lora=LORA, bf16=True), True, 15 * GB)


def test_an_8b_model_without_a_gpu_is_refused_with_the_arithmetic(train):
    message = (
        r"big: 8.0B weights take at least 128 GB to train; this machine has no GPU and 24 GB of memory: take a machine"
    )
    with pytest.raises(DataError, match=message):
        refuse_too_large("big", B8, train(), 1, 24 * GB, gpu=False, sharded=False)


def test_an_8b_model_fits_eight_gpus_under_zero_3_and_one_with_adapters(train):
    refuse_too_large("big", B8, train(bf16=True), 8, 80 * GB, gpu=True, sharded=True)
    refuse_too_large("big", B8, train(bf16=True, lora=LORA), 1, 80 * GB, gpu=True, sharded=False)
    with pytest.raises(
        DataError, match="a GPU here has 80 GB: take launch zero3 on more GPUs, or zero3_offload or lora"
    ):
        refuse_too_large("big", B8, train(bf16=True), 1, 80 * GB, gpu=True, sharded=False)


def test_a_disk_without_room_for_the_model_is_refused_before_training(train, tmp_path, vpo_home):
    out = tmp_path / "data/models/sft"
    refuse_full_disk(10**6, train(), False, out, read_free=lambda path: 10**8)
    with pytest.raises(
        DataError, match=r"sft: the disk has 0.1 GB left and training writes up to 4.0 GB there: free some"
    ):
        refuse_full_disk(10**9, train(checkpoint_s=None), False, out, read_free=lambda path: 10**8)


def test_a_disk_without_room_for_checkpoints_names_vpo_home(train, tmp_path, vpo_home):
    def free(path):
        return 10 * GB

    refuse_full_disk(10**9, train(checkpoint_s=None), False, tmp_path / "out", free)
    with pytest.raises(
        DataError, match="home: the disk has 10.0 GB left .* 36.0 GB there: .* set VPO_HOME to a larger"
    ):
        refuse_full_disk(10**9, train(checkpoint_s=60), False, tmp_path / "out", free)


@pytest.mark.slow
def test_a_disk_that_runs_full_in_the_midst_is_one_line(vpo_home):
    with pytest.raises(DataError, match="model.safetensors: the disk is full"), explain_exhaustion("sft"):
        raise OSError(errno.ENOSPC, "No space left on device", "model.safetensors")
    with pytest.raises(PermissionError), explain_exhaustion("sft"):
        raise PermissionError(errno.EACCES, "no", "x")


@pytest.mark.slow
def test_a_disk_that_runs_full_under_a_checkpoint_is_one_line(vpo_home, tmp_path):
    """A limit on a file's size makes the kernel refuse a write in its midst, as a full disk does."""
    import torch

    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(DataError, match="home: the disk is full"), explain_exhaustion("sft"):
            torch.save(torch.zeros(100_000), tmp_path / "optimizer.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.slow
def test_what_safetensors_says_of_a_full_disk_is_one_line(vpo_home):
    from safetensors import SafetensorError

    with pytest.raises(DataError, match="home: the disk is full"), explain_exhaustion("sft"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["shapes differ", "[enforce fail at inline_container.cc:145] . PytorchStreamReader failed reading"]
)
def test_another_fault_is_not_called_a_full_disk(vpo_home, fault):
    with pytest.raises(RuntimeError, match=re.escape(fault)), explain_exhaustion("sft"):
        raise RuntimeError(fault)


@pytest.mark.slow
def test_a_gpu_whose_memory_runs_out_is_one_line():
    import torch

    with (
        pytest.raises(DataError, match="set dpo.train.per_device_train_batch_size lower"),
        explain_exhaustion("dpo.train"),
    ):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")


@pytest.mark.parametrize(
    ("values", "sharded", "n_bytes"),
    [
        ({}, False, 16_000), ({}, True, 16_000), ({"bf16": True}, False, 16_000), ({"bf16": True}, True, 16_000),
        ({"lora": LORA}, False, 4_000 + 20 * 12), ({"lora": LORA, "bf16": True}, True, 2_000 + 20 * 14),
    ],
)  # fmt: skip
def test_the_bytes_of_training_by_hand(train, values, sharded, n_bytes):
    """Of 1,000 weights; 2 % of them are an adapter's."""
    assert estimate_bytes(1000, train(**{"bf16": False} | values), sharded) == n_bytes


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ({"precompute_ref_log_probs": False}, 4_000), ({"precompute_ref_log_probs": True}, 0),
        ({"precompute_ref_log_probs": False, "lora": LORA}, 0),
    ],
)  # fmt: skip
def test_a_reference_is_loaded_where_dpo_neither_knows_its_chances_nor_has_an_adapter(dpo_train, values, more):
    params = dpo_train(**{"lora": None, "bf16": False} | values)
    without = params.model_copy(update={"precompute_ref_log_probs": True})
    assert estimate_bytes(1000, params, False) - estimate_bytes(1000, without, False) == more


NEEDS = "m: 1.0B weights take at least 16 GB to train; "


@pytest.mark.parametrize(
    ("values", "processes", "gpu", "sharded", "message"),
    [
        ({}, 1, False, False, f"{NEEDS}this machine has no GPU and 15 GB of memory: "
         "take a machine with GPUs or lora or fewer weights (base_model.name)"),
        ({"lora": LORA}, 1, False, False, None),
        ({"launch": "zero3_offload"}, 1, True, True, f"{NEEDS}a GPU here has 15 GB: "
         "take lora or fewer weights (base_model.name)"),
        ({"launch": "zero3"}, 2, True, False, f"{NEEDS}a GPU here has 15 GB: take "
         "launch zero3 on more GPUs, or zero3_offload or lora or fewer weights (base_model.name)"),
        ({"launch": "zero3"}, 2, True, True, None),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_is_refused_with_the_ways_out(train, values, processes, gpu, sharded, message):
    params = train(**{"bf16": False, "lora": None} | values)
    if message is None:
        refuse_too_large("m", GB, params, processes, 15 * GB, gpu, sharded)
        return
    with pytest.raises(DataError) as fault:
        refuse_too_large("m", GB, params, processes, 15 * GB, gpu, sharded)
    assert fault.value.message == message


def test_of_several_processes_each_holds_its_share(train):
    refuse_too_large("m", GB, train(bf16=False, lora=None), 1, 16 * GB, True, False)  # just room enough
    with pytest.raises(DataError, match="take at least 8 GB to train in each of 2 processes; a GPU here has 7 GB"):
        refuse_too_large("m", GB, train(bf16=False, lora=None), 2, 7 * GB, True, True)


@pytest.mark.parametrize(
    ("values", "sharded", "out", "kept"),
    [
        ({"checkpoint_s": None}, False, 4.0, 4.0), ({"checkpoint_s": 60}, False, 4.0, 4 + 2 * 16),
        ({"checkpoint_s": 60, "lora": LORA}, False, 4.0, 4 + 2 * 0.02 * 12),
        ({"checkpoint_s": 60, "bf16": True}, True, 2.0, 2 + 2 * 14),
        ({"checkpoint_s": 60, "bf16": True}, False, 4.0, 4 + 2 * 16),
    ],
)  # fmt: skip
def test_the_room_for_a_model_and_two_checkpoints_by_hand(train, tmp_path, vpo_home, values, sharded, out, kept):
    params = train(**{"bf16": False, "lora": None} | values)
    folder = tmp_path / "out"
    refuse_full_disk(GB, params, sharded, folder, lambda path: max(out, kept) * GB + 50_000_000)
    with pytest.raises(DataError) as fault:
        refuse_full_disk(GB, params, sharded, folder, lambda path: out * GB + 50_000_000 - 1)
    assert f"{folder}: " in fault.value.message and fault.value.message.endswith(
        f"{out + 0.05:.1f} GB there: free some"
    )
    if kept > out:
        with pytest.raises(DataError) as fault:
            refuse_full_disk(GB, params, sharded, folder, lambda path: kept * GB + 50_000_000 - 1)
        assert fault.value.message.endswith(f"{kept + 0.05:.1f} GB there: free some, or set VPO_HOME to a larger disk")
