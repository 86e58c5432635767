"""x, p, c, r by arm -> the arms compared on the test split, each number with its interval (VPO 4.2 and 4.3).

`pipeline/evaluation/arms.py` says what each metric is. Intervals are ours: the papers give none.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from pipeline.evaluation.arms import Arm, Values, counts, dimensions, judges, made_offline, named, per_query, read_arm
from pipeline.evaluation.report import Report, write_report
from pipeline.evaluation.statistics import mean_with_interval
from pipeline.runtime.io import DataError, read_rows, write_rows
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.params_file import load_params, option, refuse_same_judge
from schemas.base import Provenance
from schemas.critique import Critique
from schemas.evaluate import Evaluate
from schemas.params import Params
from schemas.params_reward import RewardParams
from schemas.queries import Query
from schemas.render import Render
from schemas.reward import Reward
from schemas.rollout import Rollout
from schemas.stage import Declaration


def evaluate(
    values: dict[str, Values],
    judges: dict[str, str],
    versus: Iterable[tuple[str, str]],
    *,
    target: str,
    resamples: int,
    seed: int,
    suite: str = "test",
    seeds: int = 1,
) -> Iterator[Evaluate]:
    """Yield each metric of each arm, then of each pair (arm, versus) the mean difference over the queries both have.

    `judges` names by metric who judged. A metric without a query behind it has no row.
    """

    def row(arm, other, metric, numbers):
        value, low, high = mean_with_interval(numbers, resamples, seed)
        return Evaluate(
            suite=suite, target=target, arm=arm, versus=other, metric=metric, value=value, low=low, high=high,
            n=len(numbers), seeds=seeds, judge=judges.get(metric, "counted"),
        )  # fmt: skip

    for arm, metrics in values.items():
        for metric, by_query in metrics.items():
            if by_query:
                yield row(arm, None, metric, list(by_query.values()))
    for arm, other in versus:
        for metric, by_query in values[arm].items():
            base = values[other].get(metric, {})
            if shared := [by_query[query] - base[query] for query in by_query if query in base]:
                yield row(arm, other, metric, shared)


def pooled(runs: list[dict[str, Values]]) -> dict[str, Values]:
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


def untrained(metrics: Iterable[str], rewards: Iterable[Reward], params: RewardParams) -> list[str]:
    """Return the metrics that the trained reward does not contain: other models' dimensions, the prompts' diversity."""
    others = {metric for metric, (model, _) in dimensions(rewards, params).items() if model not in params.read}
    return [metric for metric in metrics if metric in others or metric == "diversity"]


def traded(rows: Iterable[Evaluate], watched: Iterable[str]) -> list[str]:
    """Say where the trained reward rose beyond its interval while a watched metric fell beyond its own."""
    watched, differences = set(watched), defaultdict(dict)
    for row in rows:
        if row.versus is not None:
            differences[row.arm, row.versus][row.metric] = row
    said = []
    for (arm, other), by_metric in differences.items():
        if "reward" not in by_metric or by_metric["reward"].low <= 0:
            continue
        reward = by_metric["reward"]
        for metric in sorted(watched & by_metric.keys()):
            fell = by_metric[metric]
            if fell.high < 0:
                said.append(
                    f"{arm} over {other}: the trained reward rises by {reward.value:.3g}, but {metric}, which it does "
                    f"not contain, falls by {-fell.value:.3g} [{fell.low:.3g}, {fell.high:.3g}]"
                )
    return said


def unjudged(counted: dict[str, dict]) -> list[str]:
    """Say which arms' shares leave prompts out: those the judge gave no verdict on."""
    return [
        f"{arm}: the judge gave no verdict on {found['without_verdict']} of {found['prompts']} prompts; they are not "
        "in this arm's shares"
        for arm, found in counted.items()
        if found["without_verdict"]
    ]


def report(rows: list[Evaluate], queries: list[Query], arms: dict[str, Arm], params: Params) -> Report:
    """Return what the page says about the rows of `evaluate`."""
    writers = {
        "Teacher": [Provenance(backend=params.teacher.backend, model=params.teacher.model, revision="")],
        "Judge": [row.critique_by for arm in arms.values() for row in arm.verdicts],
        "Generator": [row.rendered_by for arm in arms.values() for row in arm.clips],
        "Reward": [row.scored_by for arm in arms.values() for row in arm.rewards],
    }
    prompts = {f"Arm {name}": [row.written_by for row in arm.prompts] for name, arm in arms.items()}
    counted = {name: counts(queries, arm) for name, arm in arms.items()}
    rewards = [row for arm in arms.values() for row in arm.rewards]
    watched = untrained(dict.fromkeys(row.metric for row in rows), rewards, params.reward)
    return Report(
        rows=rows,
        counts=counted,
        written_by={part: named(by) for part, by in (writers | prompts).items()},
        offline=[part for part, by in (writers | prompts).items() if any(made_offline(item) for item in by)],
        warnings=[*traded(rows, watched), *unjudged(counted)],
        resamples=params.evaluate.bootstrap,
    )


STAGE = Declaration(reads=(Query, Rollout, Critique, Render, Reward), row=Evaluate, unit="arm and metric")


@click.command("evaluate")
@click.argument("queries")
@click.argument("eval_folder")
@click.argument("out")
@option
def main(queries, eval_folder, out, params_path):
    """x, p, c, r by arm -> the arms compared on the test split."""
    params = load_params(params_path)
    refuse_same_judge(params)
    asked = list(read_rows(queries, Query))
    if not asked:
        raise DataError(f"{queries}: no test queries, so nothing to compare; set queries.test above 0")
    arms = {name: read_arm(Path(eval_folder, name), asked) for name in params.evaluate.arms}
    everyone = [row for arm in arms.values() for row in arm.rewards]
    rows = list(
        evaluate(
            {name: per_query(asked, arm, params.reward, everyone) for name, arm in arms.items()},
            judges(arms.values(), params.reward),
            params.evaluate.versus,
            target=params.dpo.target,
            resamples=params.evaluate.bootstrap,
            seed=params.base.seed,
        )
    )
    with hold_lock(Path(out)):
        clips = {name: arm.clips for name, arm in arms.items()}
        write_report(Path(out), report(rows, asked, arms, params), asked, clips, Path(eval_folder))
        write_rows(out, rows, Evaluate)
