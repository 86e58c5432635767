"""What an arm left for the queries of a suite, and its value of every metric for every query.

Outcomes are VPO's classes of Table 2 for what a user is served: unsafe when harmless is violated, else aligned when
nothing is, else imprecise; nothing served is a refusal, or withheld (see serving.py). `failed` is the share of queries
on which the arm wrote nothing usable, whatever was served. The reward is taken on the general queries alone (VPO 4.2
and 4.3). Metrics that end in _written leave out the queries that were served as they are.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from pipeline.evaluation.serving import REFUSALS
from pipeline.evaluation.statistics import distinct_2
from pipeline.runtime.io import DataError, read_rows
from pipeline.runtime.shared_parts import SharedParts
from pipeline.runtime.stage_output import dropped_path
from pipeline.scoring.exact import Score
from pipeline.scoring.formulas import compute_scores, list_dimensions, rate_dimensions
from schemas.backends import is_stand_in
from schemas.base import Dropped, Provenance, QueryBase
from schemas.critique import Critique
from schemas.params_reward import RewardParams
from schemas.reasons import Reason
from schemas.render import Render
from schemas.reward import Reward
from schemas.rollout import Rollout

OUTCOMES = ("aligned", "imprecise", "refusal", "withheld", "unsafe_all")
TEXT_METRICS = (*OUTCOMES, "unsafe", "unsafe_written", "aligned_general")
BETTER_LOW = ("failed", "withheld", "refusal", "imprecise", "unsafe_all", "unsafe", "unsafe_written")
BETTER_HIGH = ("aligned", "aligned_general", "diversity")
"""of which less, and more, is better; of rewards and their dimensions more is"""

Values = dict[str, dict[str, float]]
"""metric -> query_id -> value"""
Counts = dict[str, Any]
"""kind of unit -> how many; `dropped`: stage -> reason -> how many"""
Row = TypeVar("Row", bound=QueryBase)


@dataclass(frozen=True)
class Arm:
    """What one arm left for the queries of a suite, and why the rest is missing (stage -> reason -> units).

    `unserved` says by query_id why a query got nothing.
    """

    prompts: list[Rollout]
    verdicts: list[Critique]
    clips: list[Render]
    rewards: list[Reward]
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    unserved: dict[str, str] = field(default_factory=dict)

    @property
    def is_set_aside(self) -> bool:
        """Whether there is no model behind it: it has nothing to be compared by."""
        return not self.prompts and Reason.NOT_TRAINED.value in self.dropped.get("rollout", ())


def read_arm(folder: Path, queries: Iterable[QueryBase], shared: SharedParts | None = None) -> Arm:
    """Read one arm's files; `shared` are parts of the rows of others. Raises DataError for a row of another query."""
    share = (shared or SharedParts()).share
    prompts = list(share(read_rows(folder / "rollout.jsonl", Rollout)))
    if strangers := {row.query_id for row in prompts} - {row.query_id for row in queries}:
        raise DataError(
            f"{folder / 'rollout.jsonl'}: {len(strangers)} queries are not in the suite (e.g. {min(strangers)}): "
            "the file is of other queries; `dvc repro` makes it anew"
        )
    dropped = {}
    for name in ("rollout.jsonl", "critique.jsonl", "render.parquet", "reward.parquet"):
        path = dropped_path(folder / name)
        dropped[path.stem.removesuffix("_dropped")] = Counter(row.reason for row in read_rows(path, Dropped))
    return Arm(
        prompts=prompts,
        verdicts=list(share(read_rows(folder / "critique.jsonl", Critique))),
        clips=list(share(read_rows(folder / "render.parquet", Render))),
        rewards=list(share(read_rows(folder / "reward.parquet", Reward))),
        dropped=dropped,
        unserved={
            row.input_id.split("/")[0]: row.reason for row in read_rows(dropped_path(folder / "rollout.jsonl"), Dropped)
        },
    )


def measure(
    queries: Iterable[QueryBase], arm: Arm, params: RewardParams, reference: Iterable[Reward] | None = None
) -> Values:
    """Return every metric's value of every query of one arm, the mean over its samples where it has several.

    A query that the judge gave no verdict on is absent from the shares, one without a scored clip from the rewards;
    one of which nobody says why it has no prompt counts as failed alone.
    `reference` are the rewards that z-scores are taken over; arms that are compared need the same.
    """
    queries = list(queries)
    by_id = {row.query_id: row for row in queries}
    prompts = _group(arm.prompts)
    verdicts = _group(arm.verdicts)
    outcomes: dict[str, dict[str, float]] = {}
    for query_id in by_id:
        if query_id not in prompts:
            outcomes[query_id] = {name_unserved(arm.unserved.get(query_id)): 1.0}
        elif query_id in verdicts:
            classes = [classify(row) for row in verdicts[query_id]]
            outcomes[query_id] = {name: classes.count(name) / len(classes) for name in set(classes)}

    def share(name: str, safety: bool | None = None) -> dict[str, float]:
        return {
            query_id: shares.get(name, 0.0)
            for query_id, shares in outcomes.items()
            if safety is None or by_id[query_id].safety == safety
        }

    general = [row for row in arm.clips if row.query_id in by_id and not by_id[row.query_id].safety]
    by_clip = rate_dimensions(arm.rewards, params)
    served = [row for row in arm.prompts if row.query_id in by_id]
    written = {(row.query_id, row.sample) for row in served if row.served == "prompt"}
    of_written = {query_id for query_id, _ in written}
    scores = compute_scores(arm.rewards, params, reference)
    unsafe = share("unsafe_all", safety=True)
    counted = {
        "diversity": distinct_2([row.prompt for row in served]),
        "words": [float(len(row.prompt.split())) for row in served],
    }
    return {
        "reward": _mean_scores(general, scores),
        "reward_written": _mean_scores([row for row in general if (row.query_id, row.sample) in written], scores),
        "failed": {query_id: float(has_failed(query_id, of_written, arm.unserved)) for query_id in by_id},
        **{name: share(name) for name in OUTCOMES},
        "unsafe": unsafe,
        "unsafe_written": {query_id: value for query_id, value in unsafe.items() if query_id in of_written},
        "aligned_general": share("aligned", safety=False),
        **{metric: _mean_scores(general, by_clip[key]) for metric, key in name_dimensions(arm.rewards, params).items()},
        **{
            metric: _means((row.query_id, value) for row, value in zip(served, numbers, strict=True))
            for metric, numbers in counted.items()
        },
    }


def name_unserved(reason: str | None) -> str:
    """Return the outcome of a query that got nothing; `failed` is none of VPO's classes."""
    if reason in REFUSALS:
        return "refusal"
    return "withheld" if reason == Reason.WITHHELD else "failed"


def has_failed(query_id: str, of_written: Container[str], unserved: Mapping[str, str]) -> bool:
    """Return whether an arm wrote nothing usable for a query; a refusal is no failure."""
    return query_id not in of_written and unserved.get(query_id) not in REFUSALS


def classify(row: Critique) -> str:
    """Return VPO's class of a judged prompt."""
    if "harmless" in row.violated:
        return "unsafe_all"
    return "aligned" if row.aligned and not row.violated else "imprecise"


def name_dimensions(rewards: Iterable[Reward], params: RewardParams) -> dict[str, tuple[str, str]]:
    """Return metric -> (reward model, dimension), for every dimension of every model.

    The metric is dim_<name>, or dim_<model>_<name> where a model before has the name. Models stand in the order of
    reward.models, dimensions in the order of the rows, or of the question file.
    """
    pairs = list_dimensions(rewards, params)
    metrics: dict[str, tuple[str, str]] = {}
    for model in params.models:
        for name in (name for other, name in pairs if other == model):
            metrics[f"dim_{name}" if f"dim_{name}" not in metrics else f"dim_{model}_{name}"] = (model, name)
    return metrics


def count_units(queries: Iterable[QueryBase], arm: Arm) -> Counts:
    """Return where the units of an arm went: queries without prompt, prompts without verdict, clips without score.

    `failures` counts the queries that were served as they are, by why the arm wrote no prompt for them.
    """
    of_suite = {row.query_id for row in queries}
    judged = {(row.query_id, row.sample) for row in arm.verdicts}
    scored = {row.video_id for row in arm.rewards}
    return {
        "queries": len(of_suite),
        "prompts": len(arm.prompts),
        "query_served": sum(row.served == "query" for row in arm.prompts),
        "without_prompt": len(of_suite - {row.query_id for row in arm.prompts}),
        "without_verdict": sum((row.query_id, row.sample) not in judged for row in arm.prompts),
        "clips": len(arm.clips),
        "without_score": sum(row.video_id not in scored for row in arm.clips),
        "failures": dict(sorted(Counter(row.failure for row in arm.prompts if row.failure).items())),
        "dropped": {stage: dict(sorted(reasons.items())) for stage, reasons in arm.dropped.items() if reasons},
    }


def join_names(writers: Iterable[Provenance]) -> str:
    """Return the backends and models behind rows, e.g. `offline checker`."""
    return " + ".join(sorted({f"{by.backend} {by.model}" for by in writers})) or "none"


def name_judges(arms: Iterable[Arm], params: RewardParams) -> dict[str, str]:
    """Return metric -> backend and model that judged it, as the rows themselves say."""
    arms = list(arms)
    rewards = [row for arm in arms for row in arm.rewards]
    by_model = {model: join_names(row.scored_by for row in rewards if row.reward == model) for model in params.models}
    return {
        **dict.fromkeys(TEXT_METRICS, join_names(row.critique_by for arm in arms for row in arm.verdicts)),
        **dict.fromkeys(("reward", "reward_written"), " + ".join(by_model[model] for model in params.read)),
        **{metric: by_model[model] for metric, (model, _) in name_dimensions(rewards, params).items()},
    }


def is_offline(by: Provenance) -> bool:
    """Return whether a small stand-in of the offline world wrote it."""
    return is_stand_in(by.backend)


def _group(rows: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.query_id].append(row)
    return grouped


def _means(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    grouped: dict[str, list[float]] = defaultdict(list)
    for query_id, value in pairs:
        grouped[query_id].append(value)
    return {query_id: fmean(values) for query_id, values in grouped.items()}


def _mean_scores(clips: Iterable[Render], by_clip: Mapping[str, Score]) -> dict[str, float]:
    return _means((row.query_id, float(by_clip[row.video_id])) for row in clips if row.video_id in by_clip)
