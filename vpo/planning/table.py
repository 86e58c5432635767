"""A plan as a person reads it: a table of calls and money, one of GPUs, and below each where its figures are from."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from vpo.sql import print_table

SUMS = ("calls", "in_store", "to_buy", "input_tokens", "output_tokens")
GPU_COLUMNS = (
    "stage", "model", "unit", "wanted", "in_store", "to_make", "seconds_each", "gpu_hours", "cpu_hours",
    "gpu_gigabytes", "disk_gigabytes",
)  # fmt: skip


def show(plan: dict[str, Any]) -> None:
    """Print the calls of every stage, the sums of each seam, and what they cost."""
    columns = ("stage", "model", "rows", *SUMS, "usd")
    print_table(
        list(columns),
        [[cell(name, row[name]) for name in columns] for row in plan["stages"]]
        + [
            ["" if name not in row else cell(name, row[name]) for name in columns]
            for row in ({"stage": f"all of {total['seam']}"} | total for total in plan["totals"])
            if row["calls"] != 0
        ],
    )
    echo_notes(plan["stages"])
    for row in plan["totals"]:
        if row["calls"] != 0 or row["paid"]:
            click.echo(describe_money(row))
    if "account" in plan and any(row["paid"] for row in plan["totals"]):
        click.echo(f"money is counted for {plan['account']}, wherever its folder lies; `vpo store account` begins anew")


def show_gpu(gpu: dict[str, Any]) -> None:
    """Print what each stage takes of a GPU, and the sums."""
    print_table(list(GPU_COLUMNS), [[gpu_cell(name, row) for name in GPU_COLUMNS] for row in gpu["stages"]])
    echo_notes([
        row | {"notes": row["notes"] + [f"seconds each: {row['source']}"] * bool(row["source"])}
        for row in gpu["stages"]
    ])  # fmt: skip
    total, parts = gpu["total"], []
    at_least = "at least " if total["unknown"] else ""
    for name, unit in (("gpu_hours", "GPU-hours"), ("cpu_hours", "CPU-hours"), ("disk_gigabytes", "GB of disk")):
        parts.append(f"{'unknown' if total[name] is None else significant(total[name])} {unit}")
    parts[0] = at_least + parts[0] + range_of(total, "gpu_hours", significant)
    if total["usd"]:
        parts.append(f"${total['usd']:.2f} to the renderer's host")
    unknown = f", and {len(total['unknown'])} rows above are unknown" if total["unknown"] else ""
    click.echo(f"GPU: {', '.join(parts)}{unknown}")


def describe_money(row: dict[str, Any]) -> str:
    """Return what a person wants to know of a seam's money, in one line."""
    who = f"{row['seam']} {row['model']}"
    uncounted = f"unknown: no plan can count what {', '.join(row['uncounted'])} will ask"
    if not row["paid"]:
        answers = "what is asked" if row["calls"] is None else f"{row['calls']:.0f} calls"
        return f"{who}: nothing is bought; the {row['backend']} backend answers {answers} for nothing"
    if row["to_buy"] is None:
        least = row.get("usd_at_least")
        return f"{who}: at least ${least:.2f}; {uncounted}" if least else f"{who}: {uncounted}"
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
        money = f"${row['usd']:.2f}{range_of(row, 'usd', '${:.2f}'.format)}{' at batch prices' if row['batch'] else ''}"
    if row["left_usd"] is not None:
        money += f"; ${row['left_usd']:.2f} of the budget of ${row['budget_usd']:g} are left"
        money += ": NOT ENOUGH" if row["enough"] is False else ""
    return f"{who}: {row['to_buy']:.0f} calls to buy, {money}"


def range_of(total: dict[str, Any], name: str, shown: Callable[[float], str]) -> str:
    """Return the low and the high of a total behind its likely value, "" where they are one number."""
    low, high = (total.get(f"{name}_{end}") for end in ("low", "high"))
    if low is None or high is None or shown(low) == shown(high):
        return ""
    return f" likely ({shown(low)} to {shown(high)})"


def echo_notes(rows: Sequence[dict[str, Any]]) -> None:
    """Print where the figures are from, each with the stages it holds for."""
    for note, stages in collect_notes(rows).items():
        shown = stages if len(stages) < 5 else [*stages[:3], f"{len(stages) - 3} more"]
        click.echo(f"  {note} ({', '.join(shown)})")


def collect_notes(rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return each note with the stages that it is about."""
    stages_of: dict[str, list[str]] = {}
    for row in rows:
        for note in [f"rows: {row['rows_from']}"] * bool(row["rows_from"]) + row["notes"]:
            if row["stage"] not in stages_of.setdefault(note, []):
                stages_of[note].append(row["stage"])
    return stages_of


def gpu_cell(name: str, row: dict[str, Any]) -> str:
    """Return a cell of the second table."""
    value = row[name]
    if value is None:
        return "" if name == "disk_gigabytes" and row["unit"] != "clips" else "unknown"
    return significant(value) if name.endswith(("each", "hours", "gigabytes")) else cell(name, value)


def cell(name: str, value: Any) -> str:
    """Return a cell of the first table; "?" where nobody can count."""
    if name.startswith("usd"):
        return "unknown" if value is None else f"{value:.2f}"
    if value is None:
        return "?"
    return f"{value:,.0f}" if isinstance(value, float | int) else str(value)


def significant(value: float) -> str:
    """Return a number as people read it: thousands apart, two figures where it is small."""
    return f"{value:,.0f}" if value >= 100 or not value else f"{value:.2g}"
