"""How far a long stage is: a bar in a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import click

EVERY_S, SHOWN_EVERY_S = 10.0, 0.2


class At(Protocol):
    def __call__(self, done: int, of: int | None = None, note: Callable[[], str] | None = None) -> None:
        """Tell how many of how many are done; `note` is called when there is something to show."""


@contextlib.contextmanager
def progress(label: str, total: int | None = None) -> Iterator[At]:
    """Give `at(done, of, note)`; nothing is shown of work that ends within a second."""
    begun = time.monotonic()
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        note_column = TextColumn("{task.fields[note]}", markup=False)
        with Progress(*columns, note_column, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"  {label}", total=total, note="")

            def show(done, of, note):
                rate = done / max(time.monotonic() - begun, 1e-3)
                told = f"{rate:.1f}/s" + (f" · {note()}" if note else "")
                bar.update(task, completed=done, total=of or total, note=told)

            yield _now_and_then(show, SHOWN_EVERY_S)
        return

    def echo(done, of, note):
        of, rate = of or total, done / (time.monotonic() - begun)
        parts = [f"{done} of {of}" if of else str(done), f"{rate:.1f}/s"]
        if of and rate:
            parts.append(f"{_clock(max(of - done, 0) / rate)} left")  # more than was expected may come
        if note and (told := note()):
            parts.append(told)
        click.echo(f"  {label}: {' · '.join(parts)}", err=True)

    yield _now_and_then(echo, EVERY_S)


def _now_and_then(show: Callable, every_s: float) -> At:
    last = time.monotonic()

    def at(done, of=None, note=None):
        nonlocal last
        if time.monotonic() - last > every_s:
            last = time.monotonic()
            show(done, of, note)

    return at


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
