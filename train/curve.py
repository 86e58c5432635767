"""The training curve as `dvc plots` reads it: a line a step."""

import contextlib
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runtime.io import replacing
from pipeline.runtime.progress import progress
from pipeline.runtime.stage_output import metrics_path

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

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


def read_curve(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each step of a trainer's log history as column -> value, without the columns that no step has.

    SFT has no rewards, for example.
    """
    steps = [entry for entry in history if "loss" in entry]
    columns = {name: source for name, source in COLUMNS.items() if any(source in entry for entry in steps)}
    return [{name: entry.get(source) for name, source in columns.items()} for entry in steps]


def curve_path(out: Path) -> Path:
    """Return where the curve of a model lies: data/models/sft -> results/models/sft_curve.csv."""
    return metrics_path(out).with_name(f"{out.name}_curve.csv")


def write_curve(path: Path, steps: list[dict[str, Any]]) -> None:
    """Write what `read_curve` gives as CSV, a line a step."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(steps[0]) if steps else list(COLUMNS), lineterminator="\n")
    table.writeheader()
    table.writerows(steps)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


@contextlib.contextmanager
def show_progress(trainer: "Trainer") -> Iterator[None]:
    """Show how far a trainer is, as every long stage does, in place of a dict a step."""
    from transformers import PrinterCallback, TrainerCallback

    trainer.remove_callback(PrinterCallback)
    with progress("training") as report:

        class Progress(TrainerCallback):
            def on_log(
                self,
                args: "TrainingArguments",
                state: "TrainerState",
                control: "TrainerControl",
                logs: dict[str, float] | None = None,
                **kwargs: Any,
            ) -> None:
                if state.is_world_process_zero and logs and "loss" in logs:
                    loss = logs["loss"]
                    report(state.global_step, state.max_steps, lambda: f"loss {loss:.4f}")

        trainer.add_callback(Progress())
        yield


def summarize_curve(steps: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return what a metrics file says of the curve: steps, first, last and mean loss (None without a step)."""
    losses = [step["loss"] for step in steps]
    return {
        "steps": steps[-1]["step"] if steps else 0,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "mean_loss": sum(losses) / len(losses) if losses else None,
    }
