"""What got worse between two arms: the sentences that a report opens with."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from pipeline.evaluation.arms import BETTER_HIGH, BETTER_LOW, name_dimensions
from pipeline.evaluation.report import SHARES
from schemas.evaluate import Evaluate
from schemas.params_reward import RewardParams
from schemas.reward import Reward


def untrained_metrics(metrics: Iterable[str], rewards: Iterable[Reward], params: RewardParams) -> dict[str, int]:
    """Return the metrics that the trained reward does not contain: +1 where more is better, -1 where less is.

    They are the judge's shares, what was served, the prompts' diversity, and other models' dimensions.
    """
    others = {metric for metric, (model, _) in name_dimensions(rewards, params).items() if model not in params.read}
    signs = dict.fromkeys(BETTER_LOW, -1) | dict.fromkeys([*BETTER_HIGH, *sorted(others)], 1)
    return {metric: signs[metric] for metric in metrics if metric in signs}


def name_losses(rows: Iterable[Evaluate], signs: Mapping[str, int]) -> list[str]:
    """Return a sentence for each arm with the metrics that worsened beyond their interval, failures first.

    `signs` are those of `untrained_metrics`. A sentence says where the trained reward rose meanwhile: then it was
    bought.
    """
    differences: dict[tuple[str, str, str], dict[str, Evaluate]] = defaultdict(dict)
    for row in rows:
        if row.versus is not None:
            differences[row.suite, row.arm, row.versus][row.metric] = row
    sentences = []
    for (_, arm, other), by_metric in differences.items():
        worse = [
            by_metric[metric]
            for metric, sign in signs.items()
            if metric in by_metric and has_worsened(by_metric[metric], sign)
        ]
        if not worse:
            continue
        parts = ", ".join(describe_change(row) for row in worse)
        reward = by_metric.get("reward")
        rose = f", while the trained reward rises by {reward.value:.3g}" if reward and reward.low > 0 else ""
        sentences.append(f"{arm} against {other}: {parts}{rose}")
    return sentences


def has_worsened(row: Evaluate, sign: int) -> bool:
    """Return whether the whole interval of a difference lies on the worse side of 0."""
    return row.high < 0 if sign > 0 else row.low > 0


def describe_change(row: Evaluate) -> str:
    """Return how a metric changed, shares in points: `failed rises by 10.7 points [5.3, 16.0]`."""
    share = row.metric in SHARES
    scale, unit = (100, " points") if share else (1, "")
    numbers = (abs(row.value), *sorted((abs(row.low), abs(row.high))))
    size, low, high = (f"{number * scale:.1f}" if share else f"{number:.3g}" for number in numbers)
    return f"{row.metric} {'rises' if row.value > 0 else 'falls'} by {size}{unit} [{low}, {high}]"
