"""What the trainers of SFT and DPO share: arguments, the dataset's file, the folder of a run, and saving the model."""

import contextlib
import ctypes
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.runtime.io import DataError, replacing_folder, write_json
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.progress import hide_noise
from pipeline.runtime.stage_output import metrics_path
from pipeline.runtime.store import home
from schemas.params_train import TrainParams
from train.answer_logits import score_answers_alone, work_on_small_tiles
from train.checkpoints import lock_run, sweep_abandoned
from train.curve import curve_path, read_curve, summarize_curve, write_curve
from train.effect import refuse_unchanged
from train.global_batch import split_global_batch
from train.launch import leave_together
from train.lora import is_adapter, merge_adapter, merge_in_place
from train.model_folder import KEPT
from train.trl_rows import Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, Trainer


def keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks: given back after each tensor, their page faults cost a third of an SFT step."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)


def describe_setting(params: TrainParams) -> dict[str, Any]:
    """Return what beside rows and params shapes a run: processes, micro-batch, device, and whether DeepSpeed shards it.

    DeepSpeed reads no checkpoint of a plain process, nor the other way round, and its bfloat16 weights are others.
    Raises DataError for a global batch that cannot be had.
    """
    import torch

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    setting = {"processes": processes, "batches": split_global_batch(params, processes), "device": device}
    return setting | {"sharded": "ACCELERATE_USE_DEEPSPEED" in os.environ}


def make_arguments(params: TrainParams, seed: int, work: Path) -> dict[str, Any]:
    """Return the arguments that SFTConfig and DPOConfig share; `work` is the run's folder.

    Raises DataError for a tracker that is not installed and a global batch that cannot be had.
    """
    keep_freed_memory()
    score_answers_alone()
    work_on_small_tiles()
    hide_noise()
    if params.report_to != "none" and importlib.util.find_spec(params.report_to) is None:
        raise DataError(
            f"report_to {params.report_to} is not installed: pip install {params.report_to}, or set it to none"
        )
    import torch

    sharded = "ACCELERATE_USE_DEEPSPEED" in os.environ
    micro, accumulation = split_global_batch(params, int(os.environ.get("WORLD_SIZE", "1")))
    # ZeRO keeps 32-bit copies of bfloat16 weights; one process has none, and a step of 5e-7 is lost on bfloat16
    dtype = "bfloat16" if params.bf16 and sharded else "float32"
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
        "max_length": params.max_length,
        "bf16": params.bf16,
        "activation_checkpointing": params.gradient_checkpointing,
        "model_init_kwargs": {"dtype": dtype, "use_safetensors": True},
        "use_cpu": not torch.cuda.is_available() and not sharded,
        "use_cache": True,  # in training TRL asks for none; the trained model's users want one
        "seed": seed,
        "save_strategy": "no",  # train.checkpoints asks for one by the clock
        "save_total_limit": 2,  # the older one stays until the newer is marked whole
        "logging_steps": 1,
        "disable_tqdm": True,  # train.curve shows how far it is
        "report_to": params.report_to,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


@contextlib.contextmanager
def open_work_folder(key: str, out: Path) -> Iterator[Path]:
    """Give a run's folder under $VPO_HOME; it holds what a killed run with the same key left, and goes at the end.

    In the main process it also holds the lock of `out`, so that one run trains the model; others of a launch follow.
    Raises DataError while another run writes `out`.
    """
    folder = home() / "train" / key
    if os.environ.get("RANK", "0") != "0":
        yield folder
    else:
        with hold_lock(out), lock_run(folder):
            sweep_abandoned(folder)
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            shutil.rmtree(folder, ignore_errors=True)
    if "LOCAL_RANK" in os.environ:
        leave_together()


def make_dataset(rows: list[Row], work: Path, name: str = "rows") -> "Dataset":
    """Return the rows as a Dataset whose file lies in `work`: TRL's reference log-probs are cached beside it.

    A Dataset in memory would have a temporary folder for each process, and the others would not find the main one's.
    """
    from accelerate import PartialState
    from datasets import Dataset, load_from_disk

    state, folder = PartialState(), work / name
    if state.is_main_process and not folder.exists():  # a resumed run finds it, and the log-probs in it
        shutil.rmtree(work / f"{name}.tmp", ignore_errors=True)
        Dataset.from_list(rows).save_to_disk(str(work / f"{name}.tmp"))
        (work / f"{name}.tmp").rename(folder)
    state.wait_for_everyone()
    return load_from_disk(str(folder))


def make_savable(model: "PreTrainedModel", dtype: str) -> "PreTrainedModel":
    """Return the model without its adapter, in the type it is saved in; no second model is made for either.

    Nothing is trained after it: a step of 5e-7 is lost on bfloat16.
    """
    import torch
    from peft import PeftModel

    plain = merge_in_place(model) if isinstance(model, PeftModel) else model
    return plain.to(getattr(torch, dtype))


def save_model(
    trainer: "Trainer",
    work: Path,
    out: Path,
    about: dict[str, Any],
    metrics: dict[str, Any],
    origin: Path | None = None,
    dtype: str = "float32",
) -> None:
    """Put the trained model in `out`, whole: weights, tokenizer and model.json, which says what it was made from.

    `about` is what model.json holds; the metrics and the curve go to results/. The weights are saved as `dtype`; all
    weights that ZeRO sharded as they were trained. Raises DataError where they are still those of the folder `origin`.
    """
    saved = work / "model"
    if not trainer.is_deepspeed_enabled:
        trainer.model = make_savable(trainer.model, dtype)
    if trainer.is_world_process_zero():
        shutil.rmtree(saved, ignore_errors=True)  # of a run that was killed while it saved
    trainer.save_model(str(saved))
    if not trainer.is_world_process_zero():
        return
    if is_adapter(saved):
        merge_adapter(saved, trainer.model, trainer.args.model_init_kwargs["dtype"], dtype, saved)
    if origin is not None:
        refuse_unchanged(saved, origin, out.name)
    write_json(saved / "model.json", about)
    with replacing_folder(out, owns=KEPT) as folder:
        for path in sorted({path for pattern in KEPT for path in saved.glob(pattern)}):
            if not path.name.startswith("adapter_"):
                shutil.copyfile(path, folder / path.name)
    if hasattr(trainer, "state"):
        steps = read_curve(trainer.state.log_history)
        write_curve(curve_path(out), steps)
        metrics = metrics | summarize_curve(steps)
        click.echo(
            f"  {out.name}: {metrics['steps']} steps, loss {steps[0]['loss']:.4f} -> {steps[-1]['loss']:.4f}", err=True
        )
    write_json(metrics_path(out), metrics)
