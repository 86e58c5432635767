"""Is there room for a model before it is loaded: memory to train it in, a disk to save it on."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.runtime.io import DataError
from pipeline.runtime.named_model import download
from pipeline.runtime.store import home
from schemas.params_train import DpoTrainParams, TrainParams

ADAPTER_SHARE = 0.02  # of the weights: an adapter of rank 16 on all layers of an 8B model is half of it
SLACK_BYTES = 50_000_000


def count_parameters(folder: str) -> int:
    """Return how many weights a model has, by its config alone. Raises DataError for a folder without one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as fault:
        raise DataError(f"{folder}: no model's config.json: {(str(fault).splitlines() or [''])[0][:200]}") from None
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config).num_parameters()


def estimate_bytes(n: int, params: TrainParams, sharded: bool) -> int:
    """Return the bytes that `n` weights, gradients and AdamW's two moments need at least; activations apart.

    Over all processes together; `sharded` says whether ZeRO spreads them (Rajbhandari et al. 2020, section 3: 16 bytes
    a weight).
    """
    weight = 2 if params.bf16 and sharded else 4
    trained = n * ADAPTER_SHARE if params.lora else n
    master = 4 if weight == 2 else 0  # ZeRO's 32-bit copy of bfloat16 weights
    loads_reference = isinstance(params, DpoTrainParams) and not (params.precompute_ref_log_probs or params.lora)
    reference = weight * n if loads_reference else 0
    return int(weight * n + trained * (weight + 8 + master) + reference)


def count_merge_bytes(n: int, params: TrainParams, sharded: bool) -> int:
    """Return the bytes of main memory that merging an adapter takes once training is over; see train/lora.py.

    None where the model stands whole in the process; where ZeRO sharded it, the base is loaded once more.
    """
    return (2 if params.bf16 else 4) * n if params.lora and sharded else 0


def refuse_merge_without_memory(name: str, n: int, params: TrainParams, sharded: bool, memory: int) -> None:
    """Raise DataError before training when its end, the merge, cannot fit in `memory` bytes of the machine."""
    if (needed := count_merge_bytes(n, params, sharded)) > memory:
        raise DataError(
            f"{name}: merging the adapter into {n / 1e9:.1f}B weights takes {needed / 1e9:.0f} GB of main memory and "
            f"this machine has {memory / 1e9:.0f} GB: take bf16 or a machine with more"
        )


def read_main_memory() -> int:
    """Return the machine's memory in bytes, all processes' together."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def refuse_too_large(
    name: str, n: int, params: TrainParams, processes: int, memory: int, gpu: bool, sharded: bool
) -> None:
    """Raise DataError when a process's share of the model cannot fit in `memory` bytes; `name` stands in the error."""
    needed = estimate_bytes(n, params, sharded) / (processes if sharded else 1)
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


def read_free_bytes(path: Path) -> int:
    """Return how many bytes are free on the disk of a path."""
    return shutil.disk_usage(path).free


def refuse_full_disk(
    n: int, params: TrainParams, sharded: bool, out: Path, read_free: Callable[[Path], int] = read_free_bytes
) -> None:
    """Raise DataError when a model of `n` weights, or its checkpoints under $VPO_HOME, cannot be saved."""
    weight = 2 if params.bf16 and sharded else 4
    state = n * (weight + 8 + 4) if params.lora is None else n * ADAPTER_SHARE * 12
    needs = {out: weight * n, home(): weight * n + (2 * state if params.checkpoint_s is not None else 0)}
    for folder, needed in needs.items():
        existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        if (left := read_free(existing)) < needed + SLACK_BYTES:
            advice = "free some, or set VPO_HOME to a larger disk" if folder != out else "free some"
            raise DataError(
                f"{folder}: the disk has {left / 1e9:.1f} GB left and training writes up to "
                f"{(needed + SLACK_BYTES) / 1e9:.1f} GB there: {advice}"
            )


def refuse_without_room(name: str, revision: str | None, params: TrainParams, out: Path) -> None:
    """Raise DataError before a model is downloaded or loaded that cannot be trained or saved here."""
    import torch

    gpu, processes = torch.cuda.is_available(), int(os.environ.get("WORLD_SIZE", "1"))
    sharded = "ACCELERATE_USE_DEEPSPEED" in os.environ
    n = count_parameters(download(name, revision, ["config.json"]))
    if gpu and params.launch != "zero3_offload":
        memory = torch.cuda.get_device_properties(0).total_memory
    else:
        memory = read_main_memory()
    refuse_too_large(name, n, params, processes, memory, gpu, sharded)
    refuse_merge_without_memory(name, n, params, sharded, read_main_memory())
    refuse_full_disk(n, params, sharded, out)


@contextlib.contextmanager
def explain_exhaustion(section: str) -> Iterator[None]:
    """Raise DataError of one line for a disk or GPU that runs full in the midst of training.

    `section` is that of params.yaml whose keys the line names.
    """
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
        raise make_full_disk_error(fault.filename or home()) from None
    except (RuntimeError, SafetensorError) as fault:  # what torch.save and safetensors make of the same
        message = str(fault)
        wrote = "inline_container" in message and "StreamReader" not in message  # a damaged file is not a full disk
        if not wrote and "No space left on device" not in message:
            raise
        raise make_full_disk_error(home()) from None


def make_full_disk_error(path: str | Path) -> DataError:
    """Return the error that names the file or folder whose disk is full."""
    return DataError(f"{path}: the disk is full: free some, or set VPO_HOME to a larger one")
