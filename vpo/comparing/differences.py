"""The headline figures of runs, and how they differ from the first run's over the queries that both have."""

from dataclasses import dataclass

from pipeline.evaluation.arms import BETTER_HIGH, BETTER_LOW, Values, measure, read_arm
from pipeline.evaluation.report import SHARES
from pipeline.evaluation.statistics import mean_with_interval
from pipeline.runtime.io import read_rows
from schemas.queries import Query
from vpo.comparing.runs import Run

HEADLINES = (
    "reward", "reward_written", "failed", "withheld", "refusal", "aligned", "aligned_general", "imprecise", "unsafe",
    "unsafe_written", "diversity", "words",
)  # fmt: skip
"""in the order shown: beside each figure of what is served stands what was lost for it"""
BETTER = {"reward": 1, "reward_written": 1, **dict.fromkeys(BETTER_HIGH, 1), **dict.fromkeys(BETTER_LOW, -1)}
"""metric -> 1 where more is better, -1 where less is; of the others nobody can say"""
LEAST_SHARED = 0.5
"""ours: of the smaller run's queries, the share from which on a difference is paired"""


@dataclass(frozen=True)
class Figure:
    """A mean with its interval over `n` queries; `paired` tells of a difference whether it is over the same queries."""

    value: float
    low: float
    high: float
    n: int
    paired: bool | None = None

    def show(self, metric: str, sign: bool = False) -> str:
        """Return it as people read it, shares in percent."""
        if not self.n:
            return "-"
        scale, digits = (100, 1) if metric in SHARES else (1, 2)
        form = f"{'+' if sign else ''}.{digits}f"
        value, low, high = (format(number * scale, form) for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"

    def flag(self, metric: str) -> str:
        """Return WORSE or better where the interval of a difference leaves out 0, else ""."""
        direction = BETTER.get(metric, 0)
        if not self.n or not direction or self.low <= 0 <= self.high:
            return ""
        return "better" if self.value * direction > 0 else "WORSE"


@dataclass(frozen=True)
class Line:
    """A metric in every run, and the differences of the later runs from the first."""

    metric: str
    values: list[Figure]
    differences: list[Figure]


def compare_runs(runs: list[Run], arm: str) -> list[Line]:
    """Return the headline figures of an arm, all suites together."""
    measured = [measure_arm(run, arm) for run in runs]
    metrics = [name for name in HEADLINES if any(values.get(name) for values in measured)]
    resamples, seed = runs[0].params.evaluate.bootstrap, runs[0].params.base.seed
    lines = []
    for metric in metrics:
        by_query = [values.get(metric, {}) for values in measured]
        figures = [summarize(list(values.values()), resamples, seed) for values in by_query]
        differences = [
            subtract(by_query[0], values, figures[0], figure, resamples, seed)
            for values, figure in zip(by_query[1:], figures[1:], strict=True)
        ]
        lines.append(Line(metric, figures, differences))
    return lines


def measure_arm(run: Run, arm: str) -> Values:
    """Return every metric's value of every query of an arm, the keys of queries being suite/query_id."""
    queries_folder, eval_folder, *_ = run.graph.running("evaluate")[0].paths
    together: Values = {}
    for suite in run.params.evaluate.suites:
        queries = list(read_rows(run.folder / queries_folder / f"{suite}.jsonl", Query))
        arms = {name: read_arm(run.folder / eval_folder / suite / name, queries) for name in run.params.evaluate.arms}
        everyone = [row for item in arms.values() for row in item.rewards]
        for metric, values in measure(queries, arms[arm], run.params.reward, everyone).items():
            together.setdefault(metric, {}).update({f"{suite}/{query}": value for query, value in values.items()})
    return together


def summarize(numbers: list[float], resamples: int, seed: int) -> Figure:
    """Return the mean of numbers with its interval; n is 0 where there are none."""
    if not numbers:
        return Figure(0.0, 0.0, 0.0, 0)
    return Figure(*mean_with_interval(numbers, resamples, seed), len(numbers))


def subtract(
    before: dict[str, float], after: dict[str, float], first: Figure, later: Figure, resamples: int, seed: int
) -> Figure:
    """Return after - before: over the same queries where enough are, else of the means, their intervals added."""
    shared = [after[query] - before[query] for query in after if query in before]
    if shared and len(shared) >= LEAST_SHARED * min(len(before), len(after)):
        value, low, high = mean_with_interval(shared, resamples, seed)
        return Figure(value, low, high, len(shared), paired=True)
    if not first.n or not later.n:
        return Figure(0.0, 0.0, 0.0, 0)
    value = later.value - first.value
    below = ((first.high - first.value) ** 2 + (later.value - later.low) ** 2) ** 0.5
    above = ((first.value - first.low) ** 2 + (later.high - later.value) ** 2) ** 0.5
    return Figure(value, value - below, value + above, min(first.n, later.n), paired=False)
