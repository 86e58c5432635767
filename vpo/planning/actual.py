"""The last plan beside what was bought since."""

import json
from pathlib import Path
from typing import Any

import click

from pipeline.runtime.store import project
from vpo.planning.table import cell
from vpo.sql import print_table

ACTUAL = {
    "answers": "to_buy",
    "from_store": "in_store",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "usd": "usd",
}
"""a run record's word -> the plan's"""


def compare(saved: Path, runs: Path) -> dict[str, Any]:
    """Return the last plan's stages beside the sums of the run records since: {"planned_at", "stages": [...]}.

    Raises ClickException without a plan.
    """
    if not saved.is_file():
        raise click.ClickException("no plan of this project is saved yet: run `vpo plan` before the stages")
    plan = json.loads(saved.read_text(encoding="utf-8"))
    bought: dict[str, dict[str, float]] = {}
    for path in sorted(runs.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("at", "") < plan["at"] or record.get("project", str(project())) != str(project()):
            continue
        sums = bought.setdefault(record["stage"], dict.fromkeys(ACTUAL, 0.0))
        for name in sums:
            sums[name] += record.get(name) or 0
    planned = {row["stage"]: row for row in plan["stages"]}
    rows = []
    for stage, sums in bought.items():
        row: dict[str, Any] = {"stage": stage}
        for name, of_plan in ACTUAL.items():
            row |= {f"{of_plan} planned": planned.get(stage, {}).get(of_plan), of_plan: sums[name]}
        rows.append(row)
    return {"planned_at": plan["at"], "stages": rows}


def show_actual(rows: list[dict[str, Any]]) -> None:
    """Print the comparison. Raises ClickException where there is nothing to compare."""
    if not rows:
        raise click.ClickException("no stage has asked anything since the last plan")
    print_table(list(rows[0]), [[cell(name, value) for name, value in row.items()] for row in rows])
