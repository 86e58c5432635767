"""`vpo plan`: what a run will ask, and what of it costs money, before anything is sent."""

import json
import math
import time
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import asdict
from typing import Any

import click

from pipeline.llm.calls.endpoint import base_url_of, host_of
from pipeline.runtime.accounts import account, open_account, project_id
from pipeline.runtime.io import write_json
from pipeline.runtime.params_file import load_params
from pipeline.runtime.store import Store, home, project
from schemas.base import content_id
from schemas.params import EndpointParams, Params
from vpo.graph import read_graph, recipe_option
from vpo.planning.actual import compare, show_actual
from vpo.planning.changes import read_status, refresh_code
from vpo.planning.declarations import section_at
from vpo.planning.estimate import Planner
from vpo.planning.expected import Estimate
from vpo.planning.gpu import GpuPlanner
from vpo.planning.gpu import total as gpu_total
from vpo.planning.gpu_cost import GpuRow
from vpo.planning.lookup import endpoint_of, is_paid
from vpo.planning.numbers import sum_known, sum_there, without_nan
from vpo.planning.shares import LEAST, MOST
from vpo.planning.table import SUMS, show, show_gpu
from vpo.planning.warm_up import warm_up as warm
from vpo.project import find_project


@click.command("plan")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; null is what nobody can count.")
@click.option("--actual", is_flag=True, help="Compare the last plan with what was bought since.")
@click.option("--no-dvc", is_flag=True, help="Take every file as it is, without asking DVC what has changed.")
@click.option(
    "--warm-up",
    metavar="N",
    type=click.IntRange(min=1),
    help="Render N clips that are missing and score them first, to measure how long it takes; they are kept.",
)
@recipe_option
def main(as_json: bool, actual: bool, no_dvc: bool, warm_up: int | None, recipe: str) -> None:
    """Say what the stages will ask and what it costs; nothing is sent, and no key is needed.

    The stages run over the rows that are there and stay, and the store is asked for the very answers they would buy.
    Rows that are not there yet, or will be made anew, are counted by params and by what the last run of the same models
    showed; below the table stands where each figure is from. What is assumed gives each total a low and a high. Second
    tries at answers that cannot be read are not expected. What cannot be counted is shown as "?", and the sum then says
    what it is at least. A second table says what rendering, scoring and training take of a GPU.
    """
    if warm_up and actual:
        raise click.UsageError("--warm-up measures before a plan, --actual looks back: one at a time")
    root = find_project()
    with chdir(root):
        graph = read_graph(root, recipe)
        saved = home() / "plans" / f"{content_id(str(project()), *([recipe] if recipe else []))}.json"
        if actual:
            plan = compare(saved, home() / "runs")
        else:
            params, store, changed = load_params(graph.params_file), Store(), None
            if not no_dvc:
                refresh_code(root, graph)
                status = read_status(root, graph)
                changed = None if status is None else set(status)
                if changed is None:
                    click.echo("DVC cannot tell what has changed: every file is taken as it is", err=True)
            planner = Planner(params, store, changed, graph)
            plan = make_plan(params, store, planner.estimates())
            if warm_up:
                warm(planner, warm_up)
            plan["gpu"] = plan_gpu(GpuPlanner(planner).rows())
            others = []
            if planner.assumes:
                for bound in (LEAST, MOST):
                    planner = Planner(params, store, changed, graph, bound)
                    others.append((planner.estimates(), GpuPlanner(planner).rows()))
            add_ranges(plan, others)
            write_json(saved, plan)
    if as_json:
        click.echo(json.dumps(plan, ensure_ascii=False))
    elif actual:
        show_actual(plan["stages"])
    else:
        show(plan)
        show_gpu(plan["gpu"])


def make_plan(params: Params, store: Store, estimates: list[Estimate]) -> dict[str, Any]:
    """Return the plan as it is printed and saved: every stage, and the totals with the budget of each seam.

    None is what nobody can count, in a stage and so in its total.
    """
    plan = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "account": project_id(),
        "stages": [asdict(item) for item in estimates],
        "totals": [total(name, params, store, estimates) for name in payers(estimates)],
    }
    return without_nan(plan)


def payers(estimates: list[Estimate]) -> list[str]:
    """Return the sections of params that answer: teacher and judge, and what else the estimates are of."""
    return list(dict.fromkeys(("teacher", "judge", *(item.seam for item in estimates))))


def add_ranges(plan: dict[str, Any], others: list[tuple[list[Estimate], list[GpuRow]]]) -> None:
    """Set the low and the high of each total, by plans that take the bounds of what is assumed; none: one number.

    Of money and GPU-hours that are known in part alone, `at_least` is the sum of what is known, else None.
    """
    for item in plan["totals"]:
        ours = [[row for row in estimates if row.seam == item["seam"]] for estimates, _ in others]
        sums = [sum_known([row.usd for row in rows]) for rows in ours]
        item["usd_low"], item["usd_high"] = bounds([item["usd"], *without_nan(sums)])
        rows = [row for row in plan["stages"] if row["seam"] == item["seam"]]
        lowest = [[row["usd"] for row in rows], *([row.usd for row in ones] for ones in ours)]
        item["usd_at_least"] = min(map(sum_there, lowest)) if item["usd"] is None else None
    total = plan["gpu"]["total"]
    sums = [plan_gpu(rows)["total"]["gpu_hours"] for _, rows in others]
    total["gpu_hours_low"], total["gpu_hours_high"] = bounds([total["gpu_hours"], *sums])


def bounds(numbers: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Return the least and the largest of some numbers, None twice where one is not known."""
    there = [number for number in numbers if number is not None]
    return (min(there), max(there)) if len(there) == len(numbers) else (None, None)


def plan_gpu(rows: list[GpuRow]) -> dict[str, Any]:
    """Return the rows of the GPU's table and their sums, as they are printed and saved."""
    for row in rows:
        for name in ("in_store", "gpu_hours", "cpu_hours", "disk_gigabytes", "usd"):
            setattr(row, name, without_nan(getattr(row, name)))
    return without_nan({"stages": [asdict(row) for row in rows], "total": gpu_total(rows)})


def total(seam: str, params: Params, store: Store, estimates: list[Estimate]) -> dict[str, Any]:
    """Return the sums of a seam, and what its budget leaves; usd is None where a price or a count is not known."""
    chosen, own = section_at(params, seam), [item for item in estimates if item.seam == seam]
    endpoint = endpoint_of(chosen)
    model = own[0].model if own else (endpoint or chosen).model
    budget_usd = endpoint.budget_usd if endpoint else None
    purse = paid_from(endpoint, model)
    # a judge that is the teacher's model is paid from the same account
    shared = sum_known([
        item.usd
        for item in estimates
        if paid_from(endpoint_of(section_at(params, item.seam)), item.model) == purse
    ])  # fmt: skip
    spent = store.read_spent_usd(open_account(store, host_of(base_url_of(endpoint)), model)) if endpoint else 0.0
    left = None if budget_usd is None else budget_usd - spent
    return {
        "seam": seam,
        "backend": chosen.backend,
        "model": model,
        "batch": bool(endpoint and endpoint.mode == "batch"),
        "paid": is_paid(chosen),
        **{name: sum_known([getattr(item, name) for item in own]) for name in SUMS},
        "usd": sum_known([item.usd for item in own]),
        "uncounted": [item.stage for item in own if math.isnan(item.to_buy)],
        "spent_usd": spent,
        "budget_usd": budget_usd,
        "left_usd": left,
        "enough": None if left is None or shared is None or math.isnan(shared) else shared <= left,
    }


def paid_from(endpoint: EndpointParams | None, model: str) -> str | None:
    """Return the account that a model's answers are charged to; None where they cost nothing."""
    return account(host_of(base_url_of(endpoint)), model) if endpoint else None
