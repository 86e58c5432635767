"""What a stage writes: rows, dropped rows and metrics, all or nothing, and every unit accounted for."""

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.runtime.io import DataError, read_rows, write_json, writing
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.progress import progress
from pipeline.runtime.terminal import make_visible
from schemas.base import Dropped, Row
from schemas.params import BaseParams
from schemas.reasons import MENDABLE, OF_A_MODEL

R = TypeVar("R", bound=Row)
Tally = Mapping[str, Callable[[R], int]]
"""name in the metrics -> what each row adds to it"""


def dropped_path(out: Path) -> Path:
    """Return where the dropped rows of `out` go: data/sft/critique.jsonl -> data/sft/critique_dropped.jsonl"""
    return out.with_name(f"{out.stem}_dropped.jsonl")


def metrics_path(out: Path) -> Path:
    """Return where the metrics of `out` go: data/sft/critique.jsonl -> results/sft/critique.json"""
    parts = list(out.with_suffix(".json").parts)
    if "data" in parts:
        parts[len(parts) - 1 - parts[::-1].index("data")] = "results"
    return Path(*parts)


class Writer:
    """Counts the units that come in and passes on what a stage yields, rows and dropped, one by one as they come."""

    def __init__(self, row: type[Row], label: str, put: Callable[[Row], None], put_dropped: Callable[[Dropped], None]):
        self.row, self.label, self.put, self.put_dropped = row, label, put, put_dropped
        self.units_in = 0
        self.unread = 0  # inputs whose last row has not been passed yet
        self.expected = 0
        self.n_rows = 0
        self.units: set[int] = set()
        self.reasons: Counter[str] = Counter()
        self.more_metrics: dict[str, Any] = {}
        self.asks_a_model = False
        self.n_served_instead = 0  # rows in which another text stands in for an answer that never came

    def read(self, path: str | Path, row: type[R], times: int = 1) -> Iterator[R]:
        """Yield the rows of `path`, counting each as `times` units that come in.

        The file is looked through before that, so that nothing is bought for one that is broken further on.
        """
        self.expected = sum(1 for _ in read_rows(path, row)) * times
        return self.count(read_rows(path, row), times)

    def read_units(self, paths: str | Path | Iterable[str | Path], row: type[R], unit: str) -> Iterator[R]:
        """Yield the rows of a file, or of several, counting as units the distinct values of their column `unit`."""
        files = [paths] if isinstance(paths, str | Path) else list(paths)
        values: set[Any] = set()

        def count_new(item: R) -> int:
            before = len(values)
            values.add(getattr(item, unit))
            return len(values) - before

        return self._count_units(chain.from_iterable(read_rows(path, row) for path in files), count_new)

    def add_units(self, n: int) -> None:
        """Count `n` units that come in beyond those of the rows."""
        self.units_in += n
        self.expected += n if self.expected else 0

    def add_metrics(self, **values: Any) -> None:
        """Put `values` beside the counts, by their names."""
        self.more_metrics |= values

    def count(self, rows: Iterable[R], times: int = 1) -> Iterator[R]:
        """Yield `rows`, counting each as `times` units that come in."""
        return self._count_units(rows, lambda item: times)

    def _count_units(self, rows: Iterable[R], units: Callable[[R], int]) -> Iterator[R]:
        self.unread += 1

        def pass_on() -> Iterator[R]:
            for item in rows:
                self.units_in += units(item)
                yield item
            self.unread -= 1

        return pass_on()

    def write(
        self,
        items: Iterable[R | Dropped],
        tally: Tally[R] | None = None,
        status: Callable[[], str] | None = None,
        limit: BaseParams | None = None,
        measured: Collection[str] = (),
    ) -> None:
        """Take what the stage yields; show an example and then how far it is, with `status` beside.

        The sums of `tally` go into the metrics. With `limit` the stage asks a model: it stops by a DataError when more
        than `limit.stop_share` end for one reason that lies with the model, but for the reasons `measured`.
        """
        self.asks_a_model = limit is not None
        tally = tally or {}
        sums = self.more_metrics
        sums |= dict.fromkeys(tally, 0)
        first: Row | None = None
        is_shown = False
        with progress(self.label) as report:
            for item in items:
                if isinstance(item, Dropped):
                    self.reasons[item.reason] += 1
                    self.put_dropped(item)
                    if limit and item.reason in OF_A_MODEL and item.reason not in measured:
                        self._stop_if_too_many(item, limit)
                else:
                    if not is_shown and (is_shown := is_good_example(item)):
                        _show(self.label, item)
                    first = first or item
                    self._count(item)
                    for name, adds in tally.items():
                        sums[name] += adds(item)
                    self.put(item)
                report(self.n_rows + self.units_dropped, self.expected or None, lambda: self._note(status))
        if first is not None and not is_shown:
            _show(self.label, first)

    def _stop_if_too_many(self, item: Dropped, limit: BaseParams) -> None:
        ended, count = self.n_rows + self.units_dropped, self.reasons[item.reason]
        if ended >= limit.stop_after and count > limit.stop_share * ended:
            detail = f", the last: {item.detail}" if item.detail else ""
            raise DataError(
                f"{item.reason}: {count} of the first {ended} inputs of {self.label} ended so{detail}; nothing is "
                "written, what was bought is kept. Mend the cause and run again, or raise base.stop_share "
                f"({limit.stop_share:g})"
            )

    def _count(self, item: Row) -> None:
        self.n_rows += 1
        self.n_served_instead += getattr(item, "failure", None) in MENDABLE
        if self.row.unit:  # hashes: the units themselves would be as large as the rows
            self.units.add(hash(tuple(getattr(item, name) for name in self.row.unit)))

    def _note(self, status: Callable[[], str] | None) -> str:
        aside = ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common())
        return " · ".join(part for part in (f"set aside: {aside}" if aside else "", status() if status else "") if part)

    @property
    def units_done(self) -> int:
        return len(self.units) if self.row.unit else self.n_rows

    @property
    def units_dropped(self) -> int:
        return self.reasons.total()

    @property
    def units_mendable(self) -> int:
        """How many were dropped because no answer came, which another day may mend."""
        return self.n_served_instead + sum(self.reasons[reason] for reason in MENDABLE) if self.asks_a_model else 0

    def refuse_losses(self, out: Path) -> None:
        """Raise DataError when input was left unread or units_in != units_done + units_dropped (promise g)."""
        if self.unread:
            raise DataError(f"{out}: the input was not read to its end: some rows vanished; nothing is written")
        if self.units_in != self.units_done + self.units_dropped:
            raise DataError(
                f"{out}: {self.units_in} units came in, {self.units_done} went on and "
                f"{self.units_dropped} were dropped: some vanished; nothing is written"
            )

    def metrics(self) -> dict[str, Any]:
        """Return what goes into the stage's metrics file."""
        return {
            "units_in": self.units_in,
            "units_done": self.units_done,
            "units_dropped": self.units_dropped,
            "rows": self.n_rows,
            "dropped": dict(sorted(self.reasons.items())),
            **self.more_metrics,
        }


def is_good_example(item: Row) -> bool:
    """Return whether a row shows what its stage does: no harmful query, no failure, a verdict that found something."""
    fails = getattr(item, "safety", False) or getattr(item, "failure", None) or getattr(item, "loops", False)
    return not fails and getattr(item, "violated", True) != ()


def _show(label: str, item: Row) -> None:
    texts = {name: getattr(item, name, None) for name in ("query", "prompt", "chosen", "rejected", "p_refined")}
    if isinstance(violated := getattr(item, "violated", None), tuple):
        texts["found"] = f"not {', not '.join(violated)}" if violated else "no flaw"
    for name, text in texts.items():
        if not text:
            continue
        click.echo(make_visible(f"  {label}: {name}: {text if len(text) <= 160 else text[:157] + '...'}"), err=True)


@contextlib.contextmanager
def stage_output(out: str | Path, row: type[Row], label: str | None = None) -> Iterator[Writer]:
    """Give a Writer; when the block ends well, put rows, dropped and metrics in place, each whole.

    Raises DataError when a row vanished (see `Writer.refuse_losses`).
    """
    out = Path(out)
    with hold_lock(out):
        for stale in out.parent.glob(f".{out.stem}[._]*.[0-9]*.tmp"):  # left by a run that was killed while it wrote
            stale.unlink(missing_ok=True) if stale.is_file() else shutil.rmtree(stale, ignore_errors=True)
        with writing(out, row) as put, writing(dropped_path(out), Dropped) as put_dropped:
            writer = Writer(row, label or out.stem, put, put_dropped)
            yield writer
            writer.refuse_losses(out)
        write_json(metrics_path(out), writer.metrics())
        click.echo(
            make_visible(f"  {writer.label}: {json.dumps(writer.metrics(), ensure_ascii=False)[:300]}"), err=True
        )
        if count := writer.units_mendable:
            stage = os.environ.get("DVC_STAGE", "")
            click.echo(
                f"  {writer.label}: finished but for {count} that failed; another day may mend them: "
                + f"vpo retry {stage}".rstrip(),
                err=True,
            )
