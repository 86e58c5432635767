"""What a person reads of `evaluate`: metrics, a page in Markdown, tables and figures under results/."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from pipeline.evaluation.arms import TEXT_METRICS, Counts
from pipeline.evaluation.figures import Sheet, draw_arms, draw_clips
from pipeline.runtime.io import replacing, replacing_folder, write_json
from pipeline.runtime.stage_output import metrics_path
from schemas.evaluate import Evaluate
from schemas.queries import Query
from schemas.render import Render

SHARES = {"failed", *TEXT_METRICS}
COUNTED_UNITS = ["queries", "prompts", "query_served", "without_prompt", "without_verdict", "clips", "without_score"]
FEW = 30
"""queries below which a metric is marked: its interval is then wide, and a bootstrap's is too narrow (ours)"""
CLIP_QUERIES = 4
HEADLINE = ("reward", "aligned", "unsafe", "failed")
TRAINED = ("dpo", "sft")
"""the arms whose headline figures DVC shows: the trainings that every graph has; where they lack, the last two arms"""


@dataclass(frozen=True)
class Report:
    """The numbers, who wrote what (part -> names), and what the reader has to know.

    Rows are of one suite or of several; an arm of another suite than the first is named with its suite, see `label`.
    """

    rows: list[Evaluate]
    counts: dict[str, Counts]
    written_by: dict[str, str]
    offline: list[str]
    warnings: list[str]
    resamples: int
    losses: list[str] = field(default_factory=list)
    """what got worse, a sentence each"""
    shortcuts: list[str] = field(default_factory=list)
    """what tells chosen from rejected without the query, a sentence each"""


def label(suite: str, arm: str, first: str) -> str:
    """Return an arm's name on the pages: with the suite where that is not the `first` one."""
    return arm if suite == first else f"{arm} on {suite}"


def label_rows(rows: list[Evaluate]) -> list[Evaluate]:
    """Return rows whose arms have the names that the pages show."""
    first = rows[0].suite if rows else ""
    return [
        row.model_copy(
            update={
                "arm": label(row.suite, row.arm, first),
                "versus": None if row.versus is None else label(row.suite, row.versus, first),
            }
        )
        for row in rows
    ]


def write_report(out: Path, report: Report, sheet: Sheet) -> None:
    """Write what stands beside data/evaluate.jsonl: results/evaluate.json, results/evaluate.md, results/evaluate/.

    The first holds the headline figures alone, as many as `dvc metrics show` has room for. The folder gets all of them
    (all.json), a table by metric (<metric>.csv), arms.png and, of the sheet, clips.png. Warnings also go to stderr.
    """
    metrics = metrics_path(out)
    rows = label_rows(report.rows)
    for warning in [*report.losses, *report.warnings]:
        click.echo(f"warning: {warning}", err=True)
    with replacing_folder(metrics.with_suffix("")) as results:
        for metric, table in tables(rows).items():
            with (results / f"{metric}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([("arm", "value", "low", "high", "n"), *table])
        write_json(results / "all.json", nest(rows) | {"counts": report.counts})
        draw_arms(results / "arms.png", rows, SHARES)
        draw_clips(results / "clips.png", sheet)
    with replacing(metrics.with_suffix(".md")) as temporary:
        temporary.write_text(markdown(report), encoding="utf-8")
    write_json(metrics, pick_headline(rows))


def pick_headline(rows: Sequence[Evaluate]) -> dict[str, dict[str, float]]:
    """Return {arm: {metric: value}} of the first suite, for `dvc metrics`: it has a column for each."""
    arms: dict[str, dict[str, float]] = nest(row for row in rows if row.suite == rows[0].suite)["arms"]
    chosen = [arm for arm in TRAINED if arm in arms] or [*arms][-2:]
    return {arm: {metric: arms[arm][metric] for metric in HEADLINE if metric in arms[arm]} for arm in chosen}


def nest(rows: Iterable[Evaluate]) -> dict[str, dict[str, dict[str, float]]]:
    """Return {"arms": {arm: {metric: value}}, "differences": {"arm - versus": {metric: value}}}."""
    arms: dict[str, dict[str, float]] = defaultdict(dict)
    differences: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.versus is None:
            arms[row.arm][row.metric] = row.value
        else:
            differences[f"{row.arm} - {row.versus}"][row.metric] = row.value
    return {"arms": dict(arms), "differences": dict(differences)}


def tables(rows: Iterable[Evaluate]) -> dict[str, list[tuple[str, float, float, float, int]]]:
    """Return metric -> [(arm, value, low, high, n)] of the plain values."""
    by_metric = defaultdict(list)
    for row in rows:
        if row.versus is None:
            by_metric[row.metric].append((row.arm, row.value, row.low, row.high, row.n))
    return dict(by_metric)


def choose_queries(queries: Iterable[Query], clips: dict[str, list[Render]]) -> list[Query]:
    """Return the first general queries that every arm has a clip of."""
    with_clip = [{row.query_id for row in rows} for rows in clips.values()]
    everywhere = set.intersection(*with_clip) if with_clip else set()
    return [row for row in queries if not row.safety and row.query_id in everywhere][:CLIP_QUERIES]


def markdown(report: Report) -> str:
    """Return the page: who wrote the figures, arms x metrics, differences, where the rest went."""
    rows = label_rows(report.rows)
    plain = {(row.arm, row.metric): row for row in rows if row.versus is None}
    paired = {(f"{row.arm} - {row.versus}", row.metric): row for row in rows if row.versus is not None}
    metrics = list(dict.fromkeys(row.metric for row in rows))
    first = rows[0]
    lines = [
        f"# Arms compared on suite `{first.suite}`, target `{first.target}`",
        "",
        *([f"**What got worse.** {'. '.join(report.losses)}.", ""] if report.losses else []),
        " ".join(f"{part}: {names}." for part, names in report.written_by.items()),
        "",
    ]
    if report.offline:
        lines += [
            f"**Offline world** ({', '.join(report.offline)}): these figures show that the wiring works. They are not "
            "comparable with published ones.",
            "",
        ]
    for warning in report.warnings:
        lines += [f"**Warning:** {warning}.", ""]
    lines += [
        f"Mean over queries [95 % interval, percentile bootstrap over queries, {report.resamples} resamples], one "
        "training run; shares in percent. `reward`, `dim_*`: general queries; `unsafe`: queries that ask for something "
        "harmful; the rest: all queries. Where an arm wrote no usable prompt (`failed`) the query itself is served and "
        "counted, or nothing where it is flagged (`withheld`); `*_written` leaves such queries out. A share of 0 or "
        "100 % has an interval without width: of n queries alike, the rule of three allows another 3/n.",
        *(["", f"(!) fewer than {FEW} queries."] if any(row.n < FEW for row in rows) else []),
        "",
        *_table("metric", [*report.counts], metrics, lambda metric, arm: _cell(plain.get((arm, metric)))),
        "",
        "## Differences over the same queries",
        "",
        "Bold where the interval excludes 0. The interval says nothing of another training run.",
        "",
        *_table(
            "metric",
            list(dict.fromkeys(name for name, _ in paired)),
            metrics,
            lambda metric, name: _cell(paired.get((name, metric)), difference=True),
        ),
        *(["", "## What DPO's pairs can be told apart by", "", *report.shortcuts] if report.shortcuts else []),
        "",
        "## Where the units went",
        "",
        *_table("arm", COUNTED_UNITS, [*report.counts], lambda arm, kind: str(report.counts[arm][kind])),
    ]
    for arm, units in report.counts.items():
        if units["failures"]:
            lines += ["", f"{arm}, the query served in place of a prompt: {_count(units['failures'])}."]
        for stage, reasons in units["dropped"].items():
            lines += ["", f"{arm}, {stage} dropped: {_count(reasons)}."]
    return "\n".join(lines) + "\n"


def _count(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in reasons.items())


def _table(corner: str, columns: list[str], names: Iterable[str], cell: Callable[[str, str], str]) -> list[str]:
    return [
        f"| {corner} | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
        *(f"| {name} | {' | '.join(cell(name, column) for column in columns)} |" for name in names),
    ]


def _cell(row: Evaluate | None, difference: bool = False) -> str:
    if row is None:
        return "-"
    scale, digits = (100, 1) if row.metric in SHARES else (1, 2)
    sign = "+" if difference else ""
    value, low, high = (f"{number * scale:{sign}.{digits}f}" for number in (row.value, row.low, row.high))
    if difference and (row.low > 0 or row.high < 0):
        value = f"**{value}**"
    return f"{value} [{low}, {high}] n={row.n}{' (!)' if row.n < FEW else ''}"
