"""Is there room for a model before it is loaded: memory to train it in, a disk to save it on."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.runtime.io import DataError
from pipeline.runtime.store import home
from schemas.params_train import DpoTrainParams, TrainParams
from train.base import downloaded

ADAPTER_SHARE = 0.02  # of the weights: an adapter of rank 16 on all layers of an 8B model is half of it
SLACK = 50_000_000


def n_parameters(folder: str) -> int:
    """Return how many weights a model has, by its config alone. Raises DataError."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as fault:
        raise DataError(f"{folder}: no model's config.json: {(str(fault).splitlines() or [''])[0][:200]}") from None
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config).num_parameters()


def bytes_to_train(n: int, params: TrainParams, sharded: bool) -> int:
    """Return what weights, gradients and AdamW's two moments need at least, over all processes; activations apart."""
    weight = 2 if params.bf16 and sharded else 4
    trained = n * ADAPTER_SHARE if params.lora else n
    master = 4 if weight == 2 else 0  # ZeRO's 32-bit copy of bfloat16 weights
    loads_reference = isinstance(params, DpoTrainParams) and not (params.precompute_ref_log_probs or params.lora)
    reference = weight * n if loads_reference else 0
    return int(weight * n + trained * (weight + 8 + master) + reference)


def refuse_too_large(
    name: str, n: int, params: TrainParams, processes: int, memory: int, gpu: bool, sharded: bool
) -> None:
    """Raise DataError when a process's share of the model cannot fit in `memory` bytes."""
    needed = bytes_to_train(n, params, sharded) / (processes if sharded else 1)
    if needed <= memory:
        return
    has = f"{memory / 1e9:.0f} GB"
    where = f"a GPU here has {has}" if gpu else f"this machine has no GPU and {has} of memory"
    each = f" in each of {processes} processes" if sharded and processes > 1 else ""
    ways = ["fewer weights (base_model.name)"]
    if params.lora is None:
        ways.insert(0, "lora")
    if params.launch != "zero3_offload" and gpu:
        ways.insert(0, "launch zero3 on more GPUs, or zero3_offload")
    if not gpu:
        ways.insert(0, "a machine with GPUs")
    raise DataError(
        f"{name}: {n / 1e9:.1f}B weights take at least {needed / 1e9:.0f} GB to train{each}; {where}: "
        f"take {' or '.join(ways)}"
    )


def refuse_full_disk(
    n: int, params: TrainParams, sharded: bool, out: Path, free=lambda path: shutil.disk_usage(path).free
):
    """Raise DataError when the model, or its checkpoints under $VPO_HOME, cannot be saved."""
    weight = 2 if params.bf16 and sharded else 4
    state = n * (weight + 8 + 4) if params.lora is None else n * ADAPTER_SHARE * 12
    needs = {out: weight * n, home(): weight * n + (2 * state if params.checkpoint_s is not None else 0)}
    for folder, needed in needs.items():
        there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        if (left := free(there)) < needed + SLACK:
            advice = "free some, or set VPO_HOME to a larger disk" if folder != out else "free some"
            raise DataError(
                f"{folder}: the disk has {left / 1e9:.1f} GB left and training writes up to "
                f"{(needed + SLACK) / 1e9:.1f} GB there: {advice}"
            )


def refuse_without_room(name: str, revision: str | None, params: TrainParams, out: Path) -> None:
    """Raise DataError before a model is downloaded or loaded that cannot be trained or saved here."""
    import torch

    gpu, processes = torch.cuda.is_available(), int(os.environ.get("WORLD_SIZE", "1"))
    sharded = "ACCELERATE_USE_DEEPSPEED" in os.environ
    n = n_parameters(downloaded(name, revision, ["config.json"]))
    if gpu and params.launch != "zero3_offload":
        memory = torch.cuda.get_device_properties(0).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    refuse_too_large(name, n, params, processes, memory, gpu, sharded)
    refuse_full_disk(n, params, sharded, out)


@contextlib.contextmanager
def told_when_it_runs_out(section: str) -> Iterator[None]:
    """Turn a full disk or GPU in the midst of training into one line."""
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except torch.cuda.OutOfMemoryError as fault:
        raise DataError(
            f"the GPU's memory ran out: set {section}.per_device_train_batch_size lower, "
            f"{section}.gradient_checkpointing to true or {section}.lora ({str(fault).splitlines()[0][:120]})"
        ) from None
    except OSError as fault:
        if fault.errno != errno.ENOSPC:
            raise
        raise full_disk(fault.filename or home()) from None
    except (RuntimeError, SafetensorError) as fault:  # what torch.save and safetensors make of the same
        said = str(fault)
        wrote = "inline_container" in said and "StreamReader" not in said  # a damaged file is not a full disk
        if not wrote and "No space left on device" not in said:
            raise
        raise full_disk(home()) from None


def full_disk(where: str | Path) -> DataError:
    return DataError(f"{where}: the disk is full: free some, or set VPO_HOME to a larger one")
