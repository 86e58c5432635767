"""x, p, c, r by arm -> the arms compared on each suite, each number with its interval (VPO 4.2 and 4.3).

`pipeline/evaluation/arms.py` says what each metric is. Intervals are ours: the papers give none.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from pipeline.evaluation.arms import (
    Arm,
    Counts,
    Values,
    count_units,
    is_offline,
    join_names,
    measure,
    name_judges,
    read_arm,
)
from pipeline.evaluation.figures import Sheet
from pipeline.evaluation.losses import name_losses, untrained_metrics
from pipeline.evaluation.report import Report, choose_queries, label, label_rows, write_report
from pipeline.evaluation.statistics import means_with_intervals
from pipeline.runtime.io import DataError, read_rows, write_rows
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.params_file import load_params, option, refuse_same_judge
from pipeline.runtime.shared_parts import SharedParts
from pipeline.scoring.formulas import compute_scores
from pipeline.text.shortcuts import describe_shortcuts
from schemas.base import Provenance
from schemas.critique import Critique
from schemas.evaluate import Evaluate
from schemas.params import Params
from schemas.queries import Query
from schemas.render import Render
from schemas.reward import Reward
from schemas.rollout import Rollout
from schemas.stage import Declaration


def evaluate(
    values: Mapping[str, Values],
    judges: Mapping[str, str],
    versus: Iterable[tuple[str, str]],
    *,
    target: str,
    resamples: int,
    seed: int,
    suite: str = "test",
    seeds: int = 1,
) -> Iterator[Evaluate]:
    """Yield each metric of each arm, then of each pair (arm, versus) the mean difference over the queries both have.

    `values` are by arm, `judges` names by metric who judged. A metric without a query behind it has no row, nor has
    a pair of which an arm was set aside.
    """

    measured: list[tuple[str, str | None, str, list[float]]] = []
    for arm, metrics in values.items():
        measured += [(arm, None, metric, list(by_query.values())) for metric, by_query in metrics.items() if by_query]
    for arm, other in ((arm, other) for arm, other in versus if arm in values and other in values):
        for metric, by_query in values[arm].items():
            base = values[other].get(metric, {})
            if shared := [by_query[query] - base[query] for query in by_query if query in base]:
                measured.append((arm, other, metric, shared))
    intervals = means_with_intervals([numbers for *_, numbers in measured], resamples, seed)
    for (arm, of, metric, numbers), (value, low, high) in zip(measured, intervals, strict=True):
        yield Evaluate(
            suite=suite, target=target, arm=arm, versus=of, metric=metric, value=value, low=low, high=high,
            n=len(numbers), seeds=seeds, judge=judges.get(metric, "counted"),
        )  # fmt: skip


def pool_runs(runs: list[dict[str, Values]]) -> dict[str, Values]:
    """Return the values of several training runs as one, the unit being (run, query); arms and metrics all share."""
    first = runs[0]
    return {
        arm: {
            metric: {
                f"{number}/{query}": value
                for number, run in enumerate(runs)
                for query, value in run[arm][metric].items()
            }
            for metric in first[arm]
            if all(metric in run[arm] for run in runs)
        }
        for arm in first
        if all(arm in run for run in runs)
    }


def warn_of_no_verdict(counts: Mapping[str, Counts]) -> list[str]:
    """Return a warning for each arm whose shares leave prompts out: those the judge gave no verdict on."""
    return [
        f"{arm}: the judge gave no verdict on {units['without_verdict']} of {units['prompts']} prompts; they are not "
        "in this arm's shares"
        for arm, units in counts.items()
        if units["without_verdict"]
    ]


def part_set_aside(suites: "Arms") -> tuple["Arms", list[str]]:
    """Return the suites without the arms that were not trained, and a warning for each of those."""
    compared = {
        suite: {name: arm for name, arm in arms.items() if not arm.is_set_aside} for suite, arms in suites.items()
    }
    first, *_ = suites.values()
    warnings = [
        f"{name} is not compared: it was not trained, no pair was left for it (results/models/{name}.json)"
        for name, arm in first.items()
        if arm.is_set_aside
    ]
    return compared, warnings


Arms = dict[str, dict[str, Arm]]
"""suite -> arm -> what it left"""


def compare_suite(suite: str, queries: list[Query], arms: Mapping[str, Arm], params: Params) -> list[Evaluate]:
    """Return the rows of one suite. z-scores are taken over the clips of all its arms."""
    everyone = [row for arm in arms.values() for row in arm.rewards]
    rows = evaluate(
        {name: measure(queries, arm, params.reward, everyone) for name, arm in arms.items()},
        name_judges(arms.values(), params.reward),
        params.evaluate.versus,
        target=params.dpo.target,
        resamples=params.evaluate.bootstrap,
        seed=params.base.seed,
        suite=suite,
    )
    return list(rows)


def make_report(
    rows: list[Evaluate],
    queries: Mapping[str, list[Query]],
    suites: Arms,
    params: Params,
    shortcuts: Iterable[str] = (),
) -> Report:
    """Return what the page says about the rows of `evaluate`; `queries` are by suite, `shortcuts` are sentences."""
    arms = [arm for by_name in suites.values() for arm in by_name.values()]
    first, *_ = suites
    writers = {
        "Teacher": [Provenance(backend=params.teacher.backend, model=params.teacher.model, revision="")],
        "Judge": [row.critique_by for arm in arms for row in arm.verdicts],
        "Generator": [row.rendered_by for arm in arms for row in arm.clips],
        "Reward": [row.scored_by for arm in arms for row in arm.rewards],
    }
    for name in suites[first]:
        prompts = [row for by_name in suites.values() for row in by_name[name].prompts]
        writers[f"Arm {name}"] = [row.written_by for row in prompts if row.served == "prompt"]
    counts = {
        label(suite, name, first): count_units(queries[suite], arm)
        for suite, by_name in suites.items()
        for name, arm in by_name.items()
    }
    rewards = [row for arm in arms for row in arm.rewards]
    signs = untrained_metrics(dict.fromkeys(row.metric for row in rows), rewards, params.reward)
    return Report(
        rows=rows,
        counts=counts,
        written_by={part: join_names(by) for part, by in writers.items()},
        offline=[part for part, by in writers.items() if any(is_offline(item) for item in by)],
        warnings=warn_of_no_verdict(counts),
        resamples=params.evaluate.bootstrap,
        losses=name_losses(label_rows(rows), signs),
        shortcuts=list(shortcuts),
    )


def read_shortcuts(folder: Path) -> list[str]:
    """Return the shortcuts that the metrics of trained models name, a sentence each; `folder` holds <model>.json."""
    sentences = []
    for path in sorted(folder.glob("*.json")):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        sentences += describe_shortcuts(path.stem, metrics.get("shortcuts", {}))
    return sentences


def make_sheet(queries: list[Query], arms: Mapping[str, Arm], params: Params, folder: Path) -> Sheet:
    """Return the contact sheet of a suite's first queries; the arms' clips lie under `folder`."""
    clips = {name: arm.clips for name, arm in arms.items()}
    shown = choose_queries(queries, clips)
    everyone = [row for arm in arms.values() for row in arm.rewards]
    query_ids = {row.query_id for row in shown}
    scores = compute_scores([row for row in everyone if row.query_id in query_ids], params.reward, everyone)
    return Sheet(shown, clips, {video_id: float(score) for video_id, score in scores.items()}, folder)


STAGE = Declaration(reads=(Query, Rollout, Critique, Render, Reward), row=Evaluate, unit="arm and metric")


def read_queries(folder: str, suites: Iterable[str]) -> dict[str, list[Query]]:
    """Return the queries of each suite. Raises DataError for a suite without any."""
    queries = {suite: list(read_rows(Path(folder, f"{suite}.jsonl"), Query)) for suite in suites}
    if empty := [suite for suite, rows in queries.items() if not rows]:
        raise DataError(
            f"{Path(folder, empty[0])}.jsonl: no {empty[0]} queries, so nothing to compare; set queries.test above 0"
        )
    return queries


@click.command("evaluate")
@click.argument("queries_folder")
@click.argument("eval_folder")
@click.argument("model_metrics")
@click.argument("out")
@option
def main(queries_folder: str, eval_folder: str, model_metrics: str, out: str, params_path: str) -> None:
    """x, p, c, r by arm -> the arms compared on each suite."""
    params = load_params(params_path)
    refuse_same_judge(params)
    queries = read_queries(queries_folder, params.evaluate.suites)
    shared = SharedParts()
    suites = {
        suite: {name: read_arm(Path(eval_folder, suite, name), rows, shared) for name in params.evaluate.arms}
        for suite, rows in queries.items()
    }
    suites, warnings = part_set_aside(suites)
    rows = [row for suite, arms in suites.items() for row in compare_suite(suite, queries[suite], arms, params)]
    with hold_lock(Path(out)):
        first, *_ = suites
        report = make_report(rows, queries, suites, params, read_shortcuts(Path(model_metrics)))
        report.warnings[:0] = warnings
        write_report(Path(out), report, make_sheet(queries[first], suites[first], params, Path(eval_folder, first)))
        write_rows(out, rows, Evaluate)
