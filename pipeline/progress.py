"""How far a long stage is: a bar in a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import click

EVERY_S = 10.0


@contextlib.contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Give `at(done, total)`; nothing is shown of work that ends within a second."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"  {label}", total=total)
            yield lambda done, of=None: bar.update(task, completed=done, total=of or total)
        return
    last = time.monotonic()

    def at(done: int, of: int | None = None) -> None:
        nonlocal last
        if time.monotonic() - last > EVERY_S:
            last = time.monotonic()
            click.echo(f"  {label}: {done}{f' of {of or total}' if of or total else ''}", err=True)

    yield at
