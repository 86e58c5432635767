"""`vpo plan`: what a run will ask, and what of it costs money, before anything is sent."""

import json
import subprocess
import sys
import time
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path

import click

from pipeline.llm.calls.endpoint import base_url_of, host_of
from pipeline.runtime.io import write_json
from pipeline.runtime.params_file import load_params
from pipeline.runtime.store import Store, account, home, project
from schemas.base import content_id
from schemas.params import EndpointParams, Params, TeacherParams
from vpo.planning.estimate import Estimate, Planner
from vpo.planning.gpu import GpuPlanner
from vpo.planning.gpu import total as gpu_total
from vpo.planning.warm_up import warm_up as warm
from vpo.project import find_project
from vpo.sql import print_table

ACTUAL = {
    "answers": "to_buy",
    "from_store": "in_store",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "usd": "usd",
}
"""a run record's word -> the plan's"""
SUMS = ("calls", "in_store", "to_buy", "input_tokens", "output_tokens")


@click.command("plan")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--actual", is_flag=True, help="Compare the last plan with what was bought since.")
@click.option("--no-dvc", is_flag=True, help="Take every file as it is, without asking DVC what has changed.")
@click.option(
    "--warm-up",
    metavar="N",
    type=click.IntRange(min=1),
    help="Render N clips that are missing and score them first, to measure how long it takes; they are kept.",
)
def main(as_json, actual, no_dvc, warm_up):
    """Say what the stages will ask and what it costs; nothing is sent, and no key is needed.

    The stages run over the rows that are there, and the store is asked for the very answers they would buy. Where rows
    are not there yet they are counted by params and by what the last run showed; below the table stands where each
    figure is from. Second tries at answers that cannot be read are not expected. A second table says what rendering,
    scoring and training take of a GPU.
    """
    if warm_up and actual:
        raise click.UsageError("--warm-up measures before a plan, --actual looks back: one at a time")
    with chdir(find_project()):
        saved = home() / "plans" / f"{content_id(str(project()))}.json"
        if actual:
            found = compared(saved, home() / "runs")
        else:
            params, store = load_params("params.yaml"), Store()
            changed = None if no_dvc else changed_stages()
            if changed is None and not no_dvc:
                click.echo("DVC cannot tell what has changed: every file is taken as it is", err=True)
            planner = Planner(params, store, changed)
            found = planned(params, store, planner.estimates())
            if warm_up:
                warm(planner, warm_up)
            rows = GpuPlanner(planner).rows()
            found["gpu"] = {"stages": [asdict(row) for row in rows], "total": gpu_total(rows)}
            write_json(saved, found)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    elif actual:
        print_rows(found["stages"])
    else:
        show(found)
        show_gpu(found["gpu"])


def planned(params: Params, store: Store, estimates: list[Estimate]) -> dict:
    """Return the plan as it is printed and saved: every stage, and the totals with the budget of each seam."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "stages": [asdict(item) for item in estimates],
        "totals": [total(name, params, store, estimates) for name in ("teacher", "judge")],
    }


def total(seam: str, params: Params, store: Store, estimates: list[Estimate]) -> dict:
    """Return the sums of a seam, and what its budget leaves; usd is None where the price is not known."""
    chosen: TeacherParams = getattr(params, seam)
    budget_usd = chosen.budget_usd if isinstance(chosen, EndpointParams) else None
    own = [item for item in estimates if item.seam == seam]
    usd = None if any(item.usd is None for item in own) else sum(item.usd for item in own)
    purse = paid_from(chosen)
    # a judge that is the teacher's model is paid from the same account
    shared = [item.usd for item in estimates if paid_from(getattr(params, item.seam)) == purse]
    spent = 0.0 if purse is None else store.read_spent_usd(purse)
    left = None if budget_usd is None else budget_usd - spent
    return {
        "seam": seam,
        "backend": chosen.backend,
        "model": chosen.model,
        "batch": isinstance(chosen, EndpointParams) and chosen.mode == "batch",
        "paid": chosen.needs.paid_by is not None,
        **{name: sum(getattr(item, name) for item in own) for name in SUMS},
        "usd": usd,
        "spent_usd": spent,
        "budget_usd": budget_usd,
        "left_usd": left,
        "enough": None if left is None or None in shared else sum(shared) <= left,
    }


def paid_from(seam: TeacherParams) -> str | None:
    """Return the account that a seam's answers are charged to; None where they cost nothing."""
    return account(host_of(base_url_of(seam)), seam.model) if isinstance(seam, EndpointParams) else None


def changed_stages() -> set[str] | None:
    """Return the stages that DVC would run for their own sake; None where it cannot say."""
    if not Path(".dvc").is_dir():
        return None
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False
    )
    try:
        return set(json.loads(done.stdout))
    except ValueError:
        return None


def show(plan: dict) -> None:
    columns = ("stage", "model", "rows", *SUMS, "usd")
    print_table(
        list(columns),
        [[cell(name, row[name]) for name in columns] for row in plan["stages"]]
        + [
            [cell(name, row.get(name, "")) for name in columns]
            for row in ({"stage": f"all of {total['seam']}"} | total for total in plan["totals"])
            if row["calls"]
        ],
    )
    echo_notes(plan["stages"])
    for row in plan["totals"]:
        if row["calls"] or row["paid"]:
            click.echo(said(row))


def notes(stages: list[dict]) -> dict[str, list[str]]:
    """Return where the figures are from, each with the stages it holds for."""
    found: dict[str, list[str]] = {}
    for row in stages:
        for note in [f"rows: {row['rows_from']}"] * bool(row["rows_from"]) + row["notes"]:
            if row["stage"] not in found.setdefault(note, []):
                found[note].append(row["stage"])
    return found


GPU_COLUMNS = (
    "stage", "model", "unit", "wanted", "in_store", "to_make", "seconds_each", "gpu_hours", "cpu_hours",
    "gpu_gigabytes", "disk_gigabytes",
)  # fmt: skip


def show_gpu(gpu: dict) -> None:
    print_table(list(GPU_COLUMNS), [[gpu_cell(name, row) for name in GPU_COLUMNS] for row in gpu["stages"]])
    told = [row | {"notes": row["notes"] + [f"seconds each: {row['source']}"] * bool(row["source"])}
            for row in gpu["stages"]]  # fmt: skip
    echo_notes(told)
    total, parts = gpu["total"], []
    for name, unit in (("gpu_hours", "GPU-hours"), ("cpu_hours", "CPU-hours"), ("disk_gigabytes", "GB of disk")):
        parts.append(f"{'unknown' if total[name] is None else significant(total[name])} {unit}")
    if total["usd"]:
        parts.append(f"${total['usd']:.2f} to the renderer's host")
    unknown = f", and {len(total['unknown'])} rows above are unknown" if total["unknown"] else ""
    click.echo(f"GPU: {', '.join(parts)}{unknown}")


def gpu_cell(name: str, row: dict) -> str:
    value = row[name]
    if value is None:
        return "" if name == "disk_gigabytes" and row["unit"] != "clips" else "unknown"
    return significant(value) if name.endswith(("each", "hours", "gigabytes")) else cell(name, value)


def significant(value: float) -> str:
    """Return a number as people read it: thousands apart, two figures where it is small."""
    return f"{value:,.0f}" if value >= 100 or not value else f"{value:.2g}"


def echo_notes(rows: list[dict]) -> None:
    for note, stages in notes(rows).items():
        shown = stages if len(stages) < 5 else [*stages[:3], f"{len(stages) - 3} more"]
        click.echo(f"  {note} ({', '.join(shown)})")


def said(row: dict) -> str:
    """Return what a person wants to know of a seam's money, in one line."""
    who = f"{row['seam']} {row['model']}"
    if not row["paid"]:
        return f"{who}: nothing is bought; the {row['backend']} backend answers {row['calls']:.0f} calls for nothing"
    if not row["calls"]:
        return f"{who}: nothing to buy, no stage asks anything"
    if not row["to_buy"]:
        return f"{who}: nothing to buy, all {row['calls']:.0f} calls are in the store"
    if row["usd"] is None:
        money = (
            f"the price is unknown: set {row['seam']}.usd_per_million_input_tokens and "
            f"{row['seam']}.usd_per_million_output_tokens"
        )
    else:
        money = f"${row['usd']:.2f}{' at batch prices' if row['batch'] else ''}"
    if row["left_usd"] is not None:
        money += f"; ${row['left_usd']:.2f} of the budget of ${row['budget_usd']:g} are left"
        money += ": NOT ENOUGH" if row["enough"] is False else ""
    return f"{who}: {row['to_buy']:.0f} calls to buy, {money}"


def cell(name: str, value) -> str:
    if name.startswith("usd"):
        return "unknown" if value is None else f"{value:.2f}"
    if value is None:
        return ""
    return f"{value:,.0f}" if isinstance(value, float | int) else str(value)


def print_rows(rows: list[dict]) -> None:
    if not rows:
        raise click.ClickException("no stage has asked anything since the last plan")
    print_table(list(rows[0]), [[cell(name, value) for name, value in row.items()] for row in rows])


def compared(saved: Path, runs: Path) -> dict:
    """Return the last plan's stages beside the sums of the run records since: {"stage", "at", answers, tokens, ...}."""
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
    planned_by = {row["stage"]: row for row in plan["stages"]}
    rows = []
    for stage, sums in bought.items():
        planned_row = planned_by.get(stage, {})
        row = {"stage": stage}
        for name, of_plan in ACTUAL.items():
            row |= {f"{of_plan} planned": planned_row.get(of_plan), of_plan: sums[name]}
        rows.append(row)
    return {"planned_at": plan["at"], "stages": rows}
