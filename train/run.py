"""What SFT and DPO share: the launch, the arithmetic of the global batch, and the folder a model is left in."""

import ctypes
import os
import shutil
import sys
from pathlib import Path

import click

from pipeline.io import DataError, beside, locked, replacing_folder, write_json
from pipeline.store import home
from schemas.base import content_id
from schemas.params import Train

# what a model folder may hold: no pickle, no optimizer state, no log
KEPT = (
    "*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "chat_template.jinja",
    "model.json",
)


def keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks: given back after each tensor, their page faults cost a third of an SFT step."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)


def launch(module: str, chosen: str) -> None:
    """Go on in this process, or replace it by `accelerate launch` where the params or the GPUs ask for several."""
    if "LOCAL_RANK" in os.environ or chosen == "single":
        return
    if chosen == "auto":
        import torch

        if torch.cuda.device_count() < 2:
            return
        chosen = "zero3"
    config = Path(__file__).parent / "configs" / f"{chosen}.yaml"
    command = ["accelerate", "launch", "--config_file", str(config), "-m", module, *sys.argv[2:]]
    click.echo(f"  {' '.join(command)}", err=True)
    os.execvp(command[0], command)


def batches(params: Train, processes: int) -> tuple[int, int]:
    """Return (micro-batch, accumulation) whose product with `processes` is exactly the global batch.

    Raises DataError with the arithmetic where there is none.
    """
    wanted, micro = params.global_batch_size, params.per_device_train_batch_size
    share, rest = divmod(wanted, processes)
    if rest:
        raise DataError(
            f"global_batch_size {wanted} cannot be had from {processes} processes: {wanted} / {processes} leaves "
            f"{rest}; ask for {share * processes or processes} or {(share + 1) * processes}"
        )
    micro = micro or share
    accumulation, rest = divmod(share, micro)
    if rest or not accumulation:
        raise DataError(
            f"global_batch_size {wanted} cannot be had: {processes} processes x per_device_train_batch_size {micro} = "
            f"{processes * micro}, and {wanted} is no multiple of it"
        )
    return micro, accumulation


def arguments(params: Train, seed: int, work: Path) -> dict:
    """Return the arguments that SFTConfig and DPOConfig share."""
    keep_freed_memory()
    import torch
    from accelerate import PartialState

    micro, accumulation = batches(params, PartialState().num_processes)
    return {
        "output_dir": str(work),
        "learning_rate": params.learning_rate,
        "num_train_epochs": params.num_train_epochs,
        "max_steps": params.max_steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulation,
        "warmup_steps": params.warmup_steps,
        "lr_scheduler_type": params.lr_scheduler_type,
        "adam_beta1": params.adam_beta1,
        "adam_beta2": params.adam_beta2,
        "bf16": params.bf16,
        "gradient_checkpointing": params.gradient_checkpointing,
        "use_cpu": not torch.cuda.is_available() and "ACCELERATE_USE_DEEPSPEED" not in os.environ,
        "seed": seed,
        "save_strategy": "no",
        "logging_steps": 10,
        "disable_tqdm": not sys.stderr.isatty(),
        "report_to": "none",
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def work_folder(*depends) -> Path:
    """Return an empty folder under $VPO_HOME for what a trainer writes while it works."""
    folder = home() / "train" / content_id("train", *depends)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def save(trainer, work: Path, out: Path, about: dict, metrics: dict) -> None:
    """Put the trained model in `out`, whole: weights, tokenizer and where they come from; the metrics beside."""
    trainer.save_model(str(work / "model"))
    if not trainer.is_world_process_zero():
        return
    write_json(work / "model" / "model.json", about)
    with locked(out), replacing_folder(out) as folder:
        for path in sorted({path for pattern in KEPT for path in (work / "model").glob(pattern)}):
            shutil.copyfile(path, folder / path.name)
    write_json(beside(out)[1], metrics)
    shutil.rmtree(work, ignore_errors=True)


def losses(trainer) -> list[dict]:
    """Return the trainer's log without what differs from run to run."""
    timed = ("runtime", "per_second", "flos")
    return [
        {name: value for name, value in entry.items() if not any(part in name for part in timed)}
        for entry in trainer.state.log_history
    ]
