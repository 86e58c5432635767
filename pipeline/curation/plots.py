"""Tables and a figure for `dvc plots`: how many queries each step leaves, and lengths and toxicity before and after."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pipeline.curation.arrays import Floats, Int64s
from pipeline.runtime.pyplot import open_pyplot, save_figure
from schemas.reasons import Reason

STEPS: dict[str, tuple[Reason, ...] | None] = {
    "raw": (),
    "readable": (Reason.UNREADABLE,),
    "may be kept": (Reason.PROHIBITED, Reason.PII),
    "pass the rules": (
        Reason.EMPTY, Reason.TOO_SHORT, Reason.TOO_LONG, Reason.CHARACTERS, Reason.KEYWORD, Reason.URL, Reason.LANGUAGE,
    ),
    "distinct": (Reason.DUPLICATE,),
    "diverse": (Reason.SIMILAR, Reason.SIMILAR_MEANING),
    "unlike benchmarks": (Reason.BENCHMARK,),
    "drawn": None,
}  # fmt: skip
"""Step -> the reasons for which rows leave in it; the last one has the rows that are left in the end."""

WORDS = 80
"""Queries of so many words and more share the last bar. Ours."""
TOXICITY_BINS = 20
HEADERS = {
    "funnel": ("step", "left"),
    "lengths": ("words", "before", "after"),
    "toxicity": ("score", "before", "after"),
}
Table: TypeAlias = list[tuple[Any, ...]]


def tabulate_funnel(rows: int, dropped: Mapping[str, int]) -> Table:
    """Return (step, how many of `rows` are left after it); `dropped` counts them by reason."""
    table: Table = []
    left = rows
    for step, reasons in STEPS.items():
        left = rows - sum(dropped.values()) if reasons is None else left - sum(dropped.get(name, 0) for name in reasons)
        table.append((step, left))
    return table


def tabulate_lengths(before: Int64s, after: Int64s) -> Table:
    """Return (words, share of the queries before, after), 0..1; the last line has all queries of WORDS and more."""
    shares = [np.bincount(np.minimum(some, WORDS), minlength=WORDS + 1) / max(len(some), 1) for some in (before, after)]
    return [(words, *_pick(shares, words)) for words in range(WORDS + 1)]


def tabulate_toxicity(before: Floats, after: Floats) -> Table:
    """Return (lower end of the bin, share of the scored queries before, after); a score that is missing is NaN."""
    edges = np.linspace(0, 1, TOXICITY_BINS + 1)
    scored = [some[~np.isnan(some)] for some in (before, after)]
    shares = [np.histogram(some, edges)[0] / max(len(some), 1) for some in scored]
    return [(round(float(edges[step]), 2), *_pick(shares, step)) for step in range(TOXICITY_BINS)]


def _pick(shares: list[Floats], line: int) -> list[float]:
    return [round(float(share[line]), 6) for share in shares]


def write_plots(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write funnel.csv, lengths.csv, toxicity.csv and curation.png."""
    for name, header in HEADERS.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *tables[name]])
    _draw(folder / "curation.png", *(tables[name] for name in HEADERS))


def _draw(path: Path, steps: Table, words: Table, scores: Table) -> None:
    plt = open_pyplot()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
    names, counts = zip(*steps, strict=True)
    places = range(len(steps) - 1, -1, -1)
    left.barh(list(places), counts, color="C0")
    left.set_yticks(list(places), names, fontsize=8)
    for place, count in zip(places, counts, strict=True):
        left.annotate(f"{count:,}", (count, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
    left.set_xticks([])
    left.set_xlim(0, max(*counts, 1) * 1.18)
    left.set_title("queries left after each step", fontsize=9)
    for axis, table, title, width in (
        (middle, words, f"words in a query ({WORDS}: and more)", 1.0),
        (right, scores, "largest toxicity score", 1 / TOXICITY_BINS),
    ):
        edges, before, after = zip(*table, strict=True)
        axis.bar(edges, before, width, align="edge", color="0.75", label="before")
        axis.step([*edges, edges[-1] + width], [*after, after[-1]], where="post", color="C0", label="after")
        axis.set_title(f"{title}, share", fontsize=9)
        axis.legend(fontsize=8, frameon=False)
    if any(share for _, *shares in scores for share in shares):
        right.set_yscale("log")
    for axis in (left, middle, right):
        axis.tick_params(labelsize=7)
    save_figure(figure, path)
