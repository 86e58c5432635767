"""One process or several: which command a stage becomes, and how the processes of a launch end."""

import atexit
import contextlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click

from pipeline.runtime.io import DataError
from schemas.params_train import DpoTrainParams, SftParams
from train.global_batch import split_global_batch

STARTED_BY = "VPO_STARTED_BY"
"""The environment variable with the id of the process that must live for a launch to go on."""
work_done = threading.Event()
"""Set when a process of a launch has nothing left to do."""


def require(extra: str, *libraries: str) -> None:
    """Raise DataError where a library is missing, with the extra that brings it."""
    if missing := [name for name in libraries if importlib.util.find_spec(name) is None]:
        raise DataError(f"training needs {' and '.join(missing)}: pip install -e '.[{extra}]'")


def launch(module: str, words: list[str], params: SftParams | DpoTrainParams) -> None:
    """Go on in this process, or become `accelerate launch` of `module` where params or GPUs ask for several.

    `words` are the command line's arguments. Raises DataError as `launch_command` does.
    """
    if "LOCAL_RANK" in os.environ:
        if started_by := os.environ.get(STARTED_BY):
            stop_after(int(started_by))
        atexit.register(end_where_done)  # before the libraries register theirs, so that it is called after them
        return
    require("train", "torch", "transformers", "trl")
    import torch

    gpus = torch.cuda.device_count()
    command = launch_command(module, words, params, gpus)
    if command is None:
        if gpus > 1:  # the Trainer would spread one process over all of them, which TRL refuses
            os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        return
    click.echo(f"  {' '.join(command)}", err=True)
    if "DVC_STAGE" in os.environ:
        os.environ[STARTED_BY] = str(os.getppid())
    os.execv(command[0], command)


def launch_command(module: str, words: list[str], params: SftParams | DpoTrainParams, gpus: int) -> list[str] | None:
    """Return the command that trains in several processes, None where this one will do.

    Raises DataError where the machine's GPUs cannot give what the params ask for.
    """
    kind = params.launch
    if kind == "auto":
        kind = "zero3" if gpus > 1 else "single"
    if kind == "single":
        split_global_batch(params, 1)
        return None
    if not gpus:
        raise DataError(f"launch {kind} trains on GPUs and this machine has none: set launch to single")
    require("deepspeed", "deepspeed")
    processes: list[str] = []
    if kind != "multi_node":  # there the file says how many, over all machines
        split_global_batch(params, gpus)
        processes = ["--num_processes", str(gpus)]
    config = Path(__file__).parent / "configs" / f"{kind}.yaml"
    # mixed precision is said here, or accelerate's file and the params could differ
    precision = ["--mixed_precision", "bf16" if params.bf16 else "no"]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    return [*accelerate, *processes, *precision, "-m", module, *words]


def stop_after(process: int, interval_s: float = 0.5, exit_now: Callable[[int], object] = os._exit) -> None:
    """End this process when `process` is gone: accelerate's launcher would outlive the dvc that started it."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while True:
                os.kill(process, 0)  # signal 0 only asks
                time.sleep(interval_s)
        exit_now(1)

    threading.Thread(target=watch, daemon=True).start()


def leave_together() -> None:
    """Wait for the main process to save, close the group, and let this process end without Python's teardown.

    A process that exits with its group open can abort, and the launcher then stops the main one in the midst of saving
    (measured: 2 of 14 launches over gloo).
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
