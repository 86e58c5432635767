"""The training curve as `dvc plots` reads it: a line a step."""

import contextlib
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from pipeline.runtime.io import replacing
from pipeline.runtime.progress import progress

COLUMNS = {
    "step": "step",
    "epoch": "epoch",
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "token_accuracy": "mean_token_accuracy",
    "entropy": "entropy",
    "margin": "rewards/margins",
    "accuracy": "rewards/accuracies",
    "reward_chosen": "rewards/chosen",
    "reward_rejected": "rewards/rejected",
    "log_prob_chosen": "logps/chosen",
    "log_prob_rejected": "logps/rejected",
}
"""our column -> the trainer's; what differs from run to run (seconds, tokens a second) has none"""


def curve(history: list[dict]) -> list[dict]:
    """Return what each step told: SFT has no rewards."""
    steps = [entry for entry in history if "loss" in entry]
    told = {name: source for name, source in COLUMNS.items() if any(source in entry for entry in steps)}
    return [{name: entry.get(source) for name, source in told.items()} for entry in steps]


def write_curve(path: Path, steps: list[dict]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, list(steps[0]) if steps else list(COLUMNS), lineterminator="\n")
    table.writeheader()
    table.writerows(steps)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


@contextlib.contextmanager
def shown(trainer) -> Iterator[None]:
    """Show how far a trainer is, as every long stage does, in place of a dict a step."""
    from transformers import PrinterCallback, TrainerCallback

    trainer.remove_callback(PrinterCallback)
    with progress("training") as at:

        class Shown(TrainerCallback):
            def on_log(self, args, state, control, logs=None, **kwargs):
                if state.is_world_process_zero and "loss" in (logs or {}):
                    at(state.global_step, state.max_steps, lambda: f"loss {logs['loss']:.4f}")

        trainer.add_callback(Shown())
        yield


def summary(steps: list[dict]) -> dict:
    """Return what a metrics file says of the curve."""
    losses = [step["loss"] for step in steps]
    return {
        "steps": steps[-1]["step"] if steps else 0,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "mean_loss": sum(losses) / len(losses) if losses else None,
    }
