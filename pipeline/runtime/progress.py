"""How far a long stage is: a bar in a terminal, a line now and then elsewhere."""

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Protocol

import click

EVERY_S, SHOWN_EVERY_S = 10.0, 0.2


class Report(Protocol):
    def __call__(self, done: int, total: int | None = None, note: Callable[[], str] | None = None) -> None:
        """Tell how many of how many are done; `note` is called when there is something to show."""


Show = Callable[[int, int | None, Callable[[], str] | None], None]


@contextlib.contextmanager
def progress(label: str, total: int | None = None, every_s: float = EVERY_S) -> Iterator[Report]:
    """Give `report(done, total, note)`; a line is shown no sooner than `every_s` after the last one."""
    begun = time.monotonic()
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        note_column = TextColumn("{task.fields[note]}", markup=False)
        with Progress(*columns, note_column, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"  {label}", total=total, note="")

            def show(done: int, now_total: int | None, note: Callable[[], str] | None) -> None:
                rate = done / max(time.monotonic() - begun, 1e-3)
                text = f"{rate:.1f}/s" + (f" · {note()}" if note else "")
                bar.update(task, completed=done, total=now_total or total, note=text)

            yield _limit_rate(show, SHOWN_EVERY_S)
        return

    def echo(done: int, now_total: int | None, note: Callable[[], str] | None) -> None:
        expected, rate = now_total or total, done / (time.monotonic() - begun)
        parts = [f"{done} of {expected}" if expected else str(done), f"{rate:.1f}/s"]
        if expected and rate:
            parts.append(f"{_clock(max(expected - done, 0) / rate)} left")  # more than was expected may come
        if note and (text := note()):
            parts.append(text)
        click.echo(f"  {label}: {' · '.join(parts)}", err=True)

    yield _limit_rate(echo, every_s)


def hide_noise() -> None:
    """Show no bars of the libraries where nobody watches a terminal, nor what they will call otherwise one day."""
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.* is deprecated", FutureWarning)
    if sys.stderr.isatty():
        return
    os.environ.setdefault("TQDM_DISABLE", "1")  # TRL asks for it
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()
    if "transformers" in sys.modules:
        sys.modules["transformers"].utils.logging.disable_progress_bar()


def _limit_rate(show: Show, every_s: float) -> Report:
    last = time.monotonic()

    def report(done: int, total: int | None = None, note: Callable[[], str] | None = None) -> None:
        nonlocal last
        if time.monotonic() - last > every_s:
            last = time.monotonic()
            show(done, total, note)

    return report


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
