"""Going on after a kill: where a trainer's checkpoints lie, which of them is whole, and when the next one is written.

A checkpoint holds PyTorch's pickles (optimizer, random states). A run loads only what it wrote itself under $VPO_HOME,
and no file of a checkpoint gets into a model folder.
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.runtime.fingerprint import code_hash, code_of
from pipeline.runtime.io import write_json
from pipeline.runtime.named_model import READ
from pipeline.runtime.store import home
from schemas.base import content_id
from schemas.params_train import TrainParams
from train.curve import show_progress
from train.trl_rows import Row

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds our packages."""
WHOLE = "whole.json"  # written last: what the checkpoint holds, file by file
READ_BACK_BYTES = 64_000_000  # up to this size a file's content is compared, beyond it the size alone
ABANDONED_S = 14 * 24 * 3600  # after which nobody comes back to a run
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "deepspeed")


def make_run_key(
    stage: str,
    rows: Sequence[Row],
    weights: str,
    params: TrainParams,
    setting: dict[str, Any],
    seed: int,
    root: Path = ROOT,
) -> str:
    """Return the key of a training run: equal keys give equal weights on one machine, so a checkpoint may be shared.

    `weights` is the hash of the model that is trained (`hash_weights`), `root` the folder with the code that trains it.
    Comments and docstrings of that code leave the key as it is.
    """
    shaping = params.model_dump(mode="json", exclude=TrainParams.NOT_SHAPING)
    code = code_hash(code_of(root, f"train/{stage}.py"))
    versions = read_versions()
    return content_id("train", stage, rows, weights, shaping, setting, code, versions, {"seed": seed})


def read_versions() -> dict[str, str]:
    """Return library -> version of those installed that shape weights."""
    versions: dict[str, str] = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def hash_weights(folder: str | Path) -> str:
    """Return 16 hex digits over all that training reads of a model folder."""
    files = sorted({path for pattern in READ for path in Path(folder).glob(pattern)})
    return content_id([(path.name, hash_file(path)) for path in files])


def hash_file(path: Path) -> str:
    """Return 32 hex digits over a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def sweep_abandoned(keep: Path) -> None:
    """Remove what runs left that nobody came back to for two weeks, but `keep`: 8B weights are 100 GB a checkpoint."""
    for folder in (home() / "train").glob("*"):
        if folder != keep and time.time() - folder.stat().st_mtime > ABANDONED_S:
            click.echo(f"  train: removes {folder}, left two weeks ago by a run that did not end", err=True)
            shutil.rmtree(folder, ignore_errors=True)


def list_contents(checkpoint: Path) -> dict[str, list]:
    """Return file -> [bytes, hash of a small one's content or None]."""
    contents: dict[str, list] = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != WHOLE:
            size = path.stat().st_size
            name = path.relative_to(checkpoint).as_posix()
            contents[name] = [size, hash_file(path) if size <= READ_BACK_BYTES else None]
    return contents


def find_newest_whole(work: Path, key: str) -> Path | None:
    """Return the checkpoint to go on from; a damaged one or another run's is passed over, and a line says so."""
    newest_first = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in newest_first:
        try:
            record = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            record = None
        if record is None:
            fault = "it was not written to its end"
        elif record.get("key") != key:
            fault = "it is of another run"
        elif record.get("contents") != list_contents(checkpoint):
            fault = "its files are not those that were written"
        else:
            return checkpoint
        click.echo(f"  train: passes over {checkpoint.name}: {fault}", err=True)
    return None


def train_with_checkpoints(trainer: "Trainer", work: Path, key: str, every_s: float | None) -> None:
    """Train from the newest whole checkpoint in `work`, or from the start, and write one every `every_s` seconds.

    `key` is that of `make_run_key`; without `every_s` no checkpoint is written.
    """
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    state = PartialState()
    resume_from: list[str | None] = [None]  # a list, so that the main process can fill in the others'
    if state.is_main_process:
        checkpoint = find_newest_whole(work, key)
        for other in work.glob("checkpoint-*"):
            if other != checkpoint:
                shutil.rmtree(other)
        if checkpoint:
            click.echo(f"  train: goes on from step {checkpoint.name.rpartition('-')[2]}", err=True)
            resume_from = [str(checkpoint)]
    if state.num_processes > 1:
        broadcast_object_list(resume_from)
    if every_s is not None:
        trainer.add_callback(make_checkpoint_callback(key, every_s))
    with show_progress(trainer):
        trainer.train(resume_from_checkpoint=resume_from[0])


def make_checkpoint_callback(key: str, every_s: float) -> "TrainerCallback":
    """Return the callback that asks for a checkpoint and marks it whole once all processes have written theirs."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list
    from transformers import TrainerCallback

    state = PartialState()

    class Checkpoints(TrainerCallback):
        def on_train_begin(
            self, args: "TrainingArguments", trainer_state: "TrainerState", control: "TrainerControl", **kwargs: Any
        ) -> None:
            self.last = time.monotonic()

        def on_step_end(
            self, args: "TrainingArguments", trainer_state: "TrainerState", control: "TrainerControl", **kwargs: Any
        ) -> "TrainerControl":
            due = [time.monotonic() - self.last >= every_s]
            if state.num_processes > 1:  # their clocks differ, and saving is a work of all
                broadcast_object_list(due)
            # after the last step the model itself is saved
            control.should_save = due[0] and trainer_state.global_step < trainer_state.max_steps
            return control

        def on_save(
            self, args: "TrainingArguments", trainer_state: "TrainerState", control: "TrainerControl", **kwargs: Any
        ) -> None:
            state.wait_for_everyone()
            if state.is_main_process:
                checkpoint = Path(args.output_dir) / f"checkpoint-{trainer_state.global_step}"
                write_json(checkpoint / WHOLE, {"key": key, "contents": list_contents(checkpoint)})
            self.last = time.monotonic()

    return Checkpoints()


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Wait until no other run works in `folder`: two experiments can train the same model at one time."""
    import fcntl

    locks = home() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"train-{folder.name}").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            click.echo("  train: another run trains the same model from the same rows; waits for it", err=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
