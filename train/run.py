"""What SFT and DPO share: the launch, the arithmetic of the global batch, and the folder a model is left in."""

import atexit
import contextlib
import ctypes
import importlib.util
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from pipeline.runtime.io import DataError, replacing_folder, write_json
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.stage_output import metrics_path
from pipeline.runtime.store import home
from schemas.params_train import DpoTrainParams, SftParams, TrainParams
from train.card import card
from train.checkpoints import one_at_a_time, sweep
from train.curve import curve, summary, write_curve
from train.lora import is_adapter, merge

# what a model folder may hold: no pickle, no optimizer state, no log
KEPT = (
    "*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "chat_template.jinja",
    "model.json",
    "README.md",
)
STARTED_BY = "VPO_STARTED_BY"  # the process that must live for a launch to go on
work_done = threading.Event()  # set when a process of a launch has nothing left to do


def require(extra: str, *libraries: str) -> None:
    """Raise DataError where a library is missing, with the extra that brings it."""
    if missing := [name for name in libraries if importlib.util.find_spec(name) is None]:
        raise DataError(f"training needs {' and '.join(missing)}: pip install 'vpo[{extra}]'")


def keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks: given back after each tensor, their page faults cost a third of an SFT step."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)


def quiet() -> None:
    """Show no bars of the libraries where nobody watches a terminal; they fill a log with hundreds of lines."""
    if sys.stderr.isatty():
        return
    os.environ.setdefault("TQDM_DISABLE", "1")  # TRL asks for it
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()
    if "transformers" in sys.modules:
        sys.modules["transformers"].utils.logging.disable_progress_bar()


def launch(module: str, words: list[str], params: SftParams | DpoTrainParams) -> None:
    """Go on in this process, or become `accelerate launch` of `module` where params or GPUs ask for several."""
    if "LOCAL_RANK" in os.environ:
        if started_by := os.environ.get(STARTED_BY):
            stop_after(int(started_by))
        atexit.register(end_where_done)  # before the libraries register theirs, so that it is called after them
        return
    require("train", "torch", "transformers", "trl")
    import torch

    gpus = torch.cuda.device_count()
    command = launcher(module, words, params, gpus)
    if command is None:
        if gpus > 1:  # the Trainer would spread one process over all of them, which TRL refuses
            os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        return
    click.echo(f"  {' '.join(command)}", err=True)
    if "DVC_STAGE" in os.environ:
        os.environ[STARTED_BY] = str(os.getppid())
    os.execv(command[0], command)


def launcher(module: str, words: list[str], params: SftParams | DpoTrainParams, gpus: int) -> list[str] | None:
    """Return the command that trains in several processes, None where this one will do.

    Raises DataError where the machine's GPUs cannot give what the params ask for.
    """
    chosen = params.launch
    if chosen == "auto":
        chosen = "zero3" if gpus > 1 else "single"
    if chosen == "single":
        batches(params, 1)
        return None
    if not gpus:
        raise DataError(f"launch {chosen} trains on GPUs and this machine has none: set launch to single")
    require("deepspeed", "deepspeed")
    processes = []
    if chosen != "multi_node":  # there the file says how many, over all machines
        batches(params, gpus)
        processes = ["--num_processes", str(gpus)]
    config = Path(__file__).parent / "configs" / f"{chosen}.yaml"
    # mixed precision is said here, or accelerate's file and the params could differ
    precision = ["--mixed_precision", "bf16" if params.bf16 else "no"]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    return [*accelerate, *processes, *precision, "-m", module, *words]


def stop_after(process: int, interval_s: float = 0.5, exit_now: Callable[[int], None] = os._exit) -> None:
    """End this process when `process` is gone: accelerate's launcher would outlive the dvc that started it."""

    def watch():
        with contextlib.suppress(OSError):
            while True:
                os.kill(process, 0)  # signal 0 only asks
                time.sleep(interval_s)
        exit_now(1)

    threading.Thread(target=watch, daemon=True).start()


def batches(params: TrainParams, processes: int) -> tuple[int, int]:
    """Return (micro-batch, accumulation) whose product with `processes` is exactly the global batch.

    Raises DataError with the arithmetic where there is none.
    """
    wanted, micro = params.global_batch_size, params.per_device_train_batch_size
    share, rest = divmod(wanted, processes)
    if rest:
        possible = [f"{n * processes}" for n in (share, share + 1) if n]
        raise DataError(
            f"global_batch_size {wanted} cannot be had from {processes} processes: {wanted} / {processes} leaves "
            f"{rest}; ask for {' or '.join(possible)}"
        )
    micro = micro or share
    accumulation, rest = divmod(share, micro)
    if rest or not accumulation:
        raise DataError(
            f"global_batch_size {wanted} cannot be had: {processes} processes x per_device_train_batch_size {micro} = "
            f"{processes * micro}, and {wanted} is no multiple of it"
        )
    return micro, accumulation


def setting(params: TrainParams) -> dict:
    """Return what beside rows and params shapes a run: processes, micro-batch, device, and whether DeepSpeed shards it.

    DeepSpeed reads no checkpoint of a plain process, nor the other way round, and its bfloat16 weights are others.
    """
    import torch

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    told = {"processes": processes, "batches": batches(params, processes), "device": device}
    return told | {"sharded": "ACCELERATE_USE_DEEPSPEED" in os.environ}


def arguments(params: TrainParams, seed: int, work: Path) -> dict:
    """Return the arguments that SFTConfig and DPOConfig share."""
    keep_freed_memory()
    quiet()
    if params.report_to != "none" and importlib.util.find_spec(params.report_to) is None:
        raise DataError(
            f"report_to {params.report_to} is not installed: pip install {params.report_to}, or set it to none"
        )
    import torch

    sharded = "ACCELERATE_USE_DEEPSPEED" in os.environ
    micro, accumulation = batches(params, int(os.environ.get("WORLD_SIZE", "1")))
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
def work_folder(key: str, out: Path) -> Iterator[Path]:
    """Give a run's folder under $VPO_HOME; it holds what a killed run with the same key left, and goes at the end.

    In the main process it also holds the lock of `out`, so that one run trains the model; others of a launch follow.
    """
    folder = home() / "train" / key
    if os.environ.get("RANK", "0") != "0":
        yield folder
    else:
        with hold_lock(out), one_at_a_time(folder):
            sweep(folder)
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            shutil.rmtree(folder, ignore_errors=True)
    if "LOCAL_RANK" in os.environ:
        leave_together()


def leave_together() -> None:
    """Wait for the main process to save, close the group, and let this process end without Python's teardown.

    A process that exits with its group open can abort, and the launcher then stops the main one in the midst of saving
    (seen in 2 of 14 launches over gloo).
    """
    from accelerate import PartialState

    PartialState().wait_for_everyone()
    PartialState().destroy_process_group()
    work_done.set()


def end_where_done() -> None:
    """End this process at once where its work is done; one that failed goes the usual way, with its own exit code.

    Gloo's threads outlive the group, which DeepSpeed still holds; taken down under them, Python aborted in 1 of some
    40 launches on busy cores, and the launcher called a run failed whose model lay there whole.
    """
    if work_done.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def dataset(rows: list[dict], work: Path, name: str = "rows"):
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


def save(trainer, work: Path, out: Path, about: dict, metrics: dict) -> None:
    """Put the trained model in `out`, whole: weights, tokenizer, card and where they come from; the metrics beside."""
    written = work / "model"
    if trainer.is_world_process_zero():
        shutil.rmtree(written, ignore_errors=True)  # of a run that was killed while it saved
    trainer.save_model(str(written))
    if not trainer.is_world_process_zero():
        return
    if is_adapter(written):
        merge(written, trainer.model, trainer.args.model_init_kwargs["dtype"], written)
    write_json(written / "model.json", about)
    (written / "README.md").write_text(card(about), encoding="utf-8")
    with replacing_folder(out) as folder:
        for path in sorted({path for pattern in KEPT for path in written.glob(pattern)}):
            if not path.name.startswith("adapter_"):
                shutil.copyfile(path, folder / path.name)
    if hasattr(trainer, "state"):
        steps = curve(trainer.state.log_history)
        write_curve(curve_of(out), steps)
        metrics = metrics | summary(steps)
        click.echo(
            f"  {out.name}: {metrics['steps']} steps, loss {steps[0]['loss']:.4f} -> {steps[-1]['loss']:.4f}", err=True
        )
    write_json(metrics_path(out), metrics)


def curve_of(out: Path) -> Path:
    """data/models/sft -> results/models/sft_curve.csv"""
    return metrics_path(out).with_name(f"{out.name}_curve.csv")
