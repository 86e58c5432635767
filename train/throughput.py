"""Seconds a token of training, measured where it happens; for `vpo plan` (pipeline/runtime/speeds.py)."""

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runtime.speeds import Speed, Work, keep_speed, name_device
from pipeline.runtime.store import home
from schemas.base import content_id
from schemas.params_train import TrainParams

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

SHAPES = ("max_length", "bf16", "gradient_checkpointing", "lora", "launch", "per_device_train_batch_size")
"""params on which a token's seconds depend"""


def describe_work(stage: str, origin: str | None, params: TrainParams) -> Work:
    """Return the key of a speed: stage sft or dpo, the model by the name it descends from; None is the tiny one."""
    settings = {name: value for name, value in params.model_dump(mode="json").items() if name in SHAPES}
    return Work("train", stage, origin or "tiny", "", content_id(settings))


def record_throughput(trainer: "Trainer", work: Work) -> None:
    """Let a TRL trainer that logs each step store its speed: device-seconds between first and last step."""
    from transformers import TrainerCallback

    steps: list[tuple[float, int]] = []

    class Clock(TrainerCallback):
        def on_log(
            self,
            args: "TrainingArguments",
            state: "TrainerState",
            control: "TrainerControl",
            logs: dict[str, float] | None = None,
            **kwargs: Any,
        ) -> None:
            if logs and "loss" in logs and "num_tokens" in logs:
                steps.append((time.monotonic(), int(logs["num_tokens"])))

        def on_train_end(
            self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
        ) -> None:
            if state.is_world_process_zero and len(steps) > 1:
                with contextlib.suppress(OSError):
                    put_speed(home() / "speeds", work, steps, int(os.environ.get("WORLD_SIZE", "1")), name_device())

    trainer.add_callback(Clock())


def put_speed(folder: Path, work: Work, steps: list[tuple[float, int]], processes: int, device: str) -> None:
    """Store the speed between the first and the last of `steps`: (seconds on a clock, tokens so far).

    The time before the first step loads the model and compiles, so it does not count; one step alone gives no speed.
    """
    (begun, before), (ended, tokens) = steps[0], steps[-1]
    if tokens > before and ended > begun:
        keep_speed(folder, work, Speed(tokens - before, (ended - begun) * processes, False, device))
