"""Seconds a token of training, measured where it happens; for `vpo plan` (pipeline/runtime/speeds.py)."""

import contextlib
import os
import time
from pathlib import Path

from pipeline.runtime.speeds import Speed, Work, keep_speed, name_device
from pipeline.runtime.store import home
from schemas.base import content_id
from schemas.params_train import TrainParams

SHAPES = ("max_length", "bf16", "gradient_checkpointing", "lora", "launch", "per_device_train_batch_size")
"""params on which a token's seconds depend"""


def training(stage: str, origin: str | None, params: TrainParams) -> Work:
    """Return what is measured: stage sft or dpo, the model by the name it descends from; None is the tiny one."""
    settings = {name: value for name, value in params.model_dump(mode="json").items() if name in SHAPES}
    return Work("train", stage, origin or "tiny", "", content_id(settings))


def measure(trainer, work: Work) -> None:
    """Let a TRL trainer that logs each step keep its speed: device-seconds between first and last step."""
    from transformers import TrainerCallback

    steps: list[tuple[float, int]] = []

    class Clock(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" in (logs or {}) and "num_tokens" in logs:
                steps.append((time.monotonic(), int(logs["num_tokens"])))

        def on_train_end(self, args, state, control, **kwargs):
            if state.is_world_process_zero and len(steps) > 1:
                with contextlib.suppress(OSError):
                    keep(home() / "speeds", work, steps, int(os.environ.get("WORLD_SIZE", "1")), name_device())

    trainer.add_callback(Clock())


def keep(folder: Path, work: Work, steps: list[tuple[float, int]], processes: int, device: str) -> None:
    """Keep what steps of (when, tokens so far) tell; the first one alone, with all that comes before it, tells none."""
    (begun, before), (ended, tokens) = steps[0], steps[-1]
    if tokens > before and ended > begun:
        keep_speed(folder, work, Speed(tokens - before, (ended - begun) * processes, False, device))
