"""Going on after a kill: where a trainer's checkpoints lie, which of them is whole, and when the next one is written.

A checkpoint holds PyTorch's pickles (optimizer, random states). A run loads only what it wrote itself under $VPO_HOME,
and no file of a checkpoint gets into a model folder.
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from pipeline.runtime.fingerprint import code_of
from pipeline.runtime.io import write_json
from pipeline.runtime.store import home
from schemas.base import content_id
from schemas.params_train import TrainParams
from train.base import READ
from train.curve import shown

WHOLE = "whole.json"  # written last: what the checkpoint holds, file by file
READ_BACK = 64_000_000  # bytes up to which a file's content is compared, beyond it the size alone
KEPT_S = 14 * 24 * 3600  # of a run that nobody came back to
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "deepspeed")


def run_key(stage: str, rows: list[dict], model: str, params: TrainParams, setting: dict, **more) -> str:
    """Return the key of a training run: equal keys give equal weights on one machine, so a checkpoint may be shared."""
    shaping = params.model_dump(mode="json", exclude=TrainParams.NOT_SHAPING)
    code = code_of(Path(__file__).parents[1], f"train/{stage}.py")
    return content_id("train", stage, rows, weights_hash(model), shaping, setting, code, versions(), more)


def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def weights_hash(folder: str | Path) -> str:
    """Return 16 hex digits over all that training reads of a model folder."""
    files = sorted({path for pattern in READ for path in Path(folder).glob(pattern)})
    return content_id([(path.name, file_hash(path)) for path in files])


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def sweep(keep: Path) -> None:
    """Remove what runs have left that nobody came back to for two weeks: 8B weights are 100 GB a checkpoint."""
    for folder in (home() / "train").glob("*"):
        if folder != keep and time.time() - folder.stat().st_mtime > KEPT_S:
            click.echo(f"  train: removes {folder}, left two weeks ago by a run that did not end", err=True)
            shutil.rmtree(folder, ignore_errors=True)


def contents(checkpoint: Path) -> dict[str, list]:
    """Return file -> [bytes, hash of a small one's content]."""
    found = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != WHOLE:
            size = path.stat().st_size
            name = path.relative_to(checkpoint).as_posix()
            found[name] = [size, file_hash(path) if size <= READ_BACK else None]
    return found


def newest_whole(work: Path, key: str) -> Path | None:
    """Return the checkpoint to go on from; one that is damaged or another run's is told of and passed over."""
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        try:
            told = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            told = None
        if told is None:
            fault = "it was not written to its end"
        elif told.get("key") != key:
            fault = "it is of another run"
        elif told.get("contents") != contents(checkpoint):
            fault = "its files are not those that were written"
        else:
            return checkpoint
        click.echo(f"  train: passes over {checkpoint.name}: {fault}", err=True)
    return None


def go_on(trainer, work: Path, key: str, every_s: float | None) -> None:
    """Train from the newest whole checkpoint in `work`, or from the start, writing one every so many seconds."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    state = PartialState()
    told: list[str | None] = [None]
    if state.is_main_process:
        checkpoint = newest_whole(work, key)
        for other in work.glob("checkpoint-*"):
            if other != checkpoint:
                shutil.rmtree(other)
        if checkpoint:
            click.echo(f"  train: goes on from step {checkpoint.name.rpartition('-')[2]}", err=True)
            told = [str(checkpoint)]
    if state.num_processes > 1:
        broadcast_object_list(told)
    if every_s is not None:
        trainer.add_callback(writer(key, every_s))
    with shown(trainer):
        trainer.train(resume_from_checkpoint=told[0])


def writer(key: str, every_s: float):
    """Return the callback that asks for a checkpoint and marks it whole once all processes have written theirs."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list
    from transformers import TrainerCallback

    state = PartialState()

    class Checkpoints(TrainerCallback):
        def on_train_begin(self, args, trainer_state, control, **kwargs):
            self.last = time.monotonic()

        def on_step_end(self, args, trainer_state, control, **kwargs):
            due = [time.monotonic() - self.last >= every_s]
            if state.num_processes > 1:  # their clocks differ, and saving is a work of all
                broadcast_object_list(due)
            # after the last step the model itself is saved
            control.should_save = due[0] and trainer_state.global_step < trainer_state.max_steps
            return control

        def on_save(self, args, trainer_state, control, **kwargs):
            state.wait_for_everyone()
            if state.is_main_process:
                checkpoint = Path(args.output_dir) / f"checkpoint-{trainer_state.global_step}"
                write_json(checkpoint / WHOLE, {"key": key, "contents": contents(checkpoint)})
            self.last = time.monotonic()

    return Checkpoints()


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
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
