"""What every stage would read: rows that are there and stay, or that the plan has made, else as many as params say."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.evaluation.prompt_sources import StoredPrompts, copy_prompts, copy_queries
from pipeline.refine import STAGE as REFINE
from pipeline.rollout import STAGE as ROLLOUT
from pipeline.runtime.io import read_rows
from pipeline.runtime.stage_output import metrics_path
from schemas.base import Prompt, Row
from schemas.critique import Critique
from schemas.params import Params
from schemas.queries import Query
from vpo.graph import Graph, read_graph, read_lock
from vpo.planning.declarations import declaration_of
from vpo.planning.shares import (
    FLAWED_BY_POLICY,
    FLAWED_BY_TEACHER,
    FLAWED_OFFLINE,
    LEAST_SEEN,
    LIKELY,
    Assumed,
    differing,
    writers_of,
)
from vpo.unroll import Stage

TYPICAL = {"query": 60, "prompt": 550, "critique": 700}
"""ours, until rows show it: characters"""
UNKNOWN = math.nan
"""how many, where nobody can count: a sum with it is unknown too, and is printed as "?" and null"""


@dataclass
class Rows:
    """What a stage reads: the rows that are present, and how many more there will be; `like` shows what those may be.

    `unknown` is UNKNOWN where nobody can count them.
    """

    present: Sequence[Any] = ()
    unknown: float = 0.0
    source: str = ""
    like: Sequence[Any] = ()


class RowPlan:
    """The rows between the stages of a graph, seen from the project's root. `made` are those that the plan has made.

    `changed` are the stages that DVC would run now; None where that is not known, then every file is taken as it is.
    `bound` says which of the three values of an assumed share counts.
    """

    def __init__(
        self, params: Params, changed: set[str] | None = None, graph: Graph | None = None, bound: int = LIKELY
    ):
        self.params, self.changed, self.bound = params, changed, bound
        self.assumes = False
        self.graph = graph or read_graph(Path())
        self.stages, self.before = self.graph.stages, self.graph.before
        self.stale = set(changed or ()) - {"params"}  # it writes a constant, whatever params.yaml says
        self.made: dict[str, Rows] = {}
        self.lock = read_lock(Path(), self.graph) if changed is not None else {}

    def is_idle(self, stage: Stage) -> bool:
        """Return whether DVC would not run the stage: neither it nor anything before it has changed."""
        made = all(Path(out).exists() for out in stage.outs)
        return self.changed is not None and made and not self.stale & {stage.name, *self.before[stage.name]}

    def rows(self, path: str, row: type[Row]) -> Rows:
        """Return what a stage will read from `path`: what the plan has made, else the file, else a number.

        The file of a stage that is to run tells nothing: its rows will be others, and may be as many as params say.
        """
        if path in self.made:
            return self.made[path]
        maker = self.graph.maker(path)
        samples = maker is not None and declaration_of(maker) is ROLLOUT
        if maker and samples and (copied := self.copy_rows(maker)):
            return copied
        if Path(path).is_file() and not self.late(path):
            return Rows(list(read_rows(path, row)), 0.0, path)
        if maker and samples:
            return self.count_samples(maker)
        if Path(path).is_file():
            return Rows((), UNKNOWN, f"{path} is made anew, and no plan can count the rows of {self.origin(maker)}")
        return Rows((), UNKNOWN, f"{path} is not there, and no plan can count the rows that {self.origin(maker)} makes")

    def origin(self, maker: Stage | None) -> str:
        """Return how to name who writes a path."""
        return maker.name if maker else f"no stage of {self.graph.file}"

    def count_samples(self, maker: Stage) -> Rows:
        """Return how many rows a stage that samples the policy will write, by the queries it reads."""
        arm = maker.word_after("--arm")
        if self.params.d_dpo.path and arm is None:
            return Rows(source="d_dpo.path takes its place")
        read = self.rows(maker.paths[0], Query)
        each = self.params.rollout.k if arm is None else 1
        count = (len(read.present) + read.unknown) * each
        return Rows((), count * self.kept(maker), f"{each} for each query of {maker.paths[0]}")

    def late(self, path: str) -> str | None:
        """Return the first stage of those that make `path`, one behind the other, that is to run; None for none."""
        maker = self.graph.maker(path)
        if maker is None:
            return None
        behind = {maker.name, *self.before[maker.name]} & self.stale
        return next((name for name in self.stages if name in behind), None)

    def copy_rows(self, maker: Stage) -> Rows | None:
        """Return the rows of an arm that no policy writes, where the plan has made what it copies."""
        arm = maker.word_after("--arm") or ""
        described = self.params.evaluate.arms.get(arm)
        queries = self.made.get(maker.paths[0])
        if described is None or queries is None or described.prompts not in ("query", "stored"):
            return None
        if described.prompts == "query":
            return Rows(list(copy_queries(queries.present, arm)), queries.unknown, maker.paths[0])
        source = self.made.get(described.source)
        if source is None:
            return None
        written = {row.query_id: row for row in reversed(source.present)}
        copies = copy_prompts(queries.present, StoredPrompts(written, {}), arm)
        return Rows([row for row in copies if isinstance(row, Prompt)], source.unknown, source.source)

    def examples(self, like: Sequence[Any]) -> Iterable[Any]:
        """Return rows whose lengths stand for those that are not there yet."""
        if like:
            return like[:: max(len(like) // 50, 1)]
        queries = [row.query for made in self.made.values() for row in made.present]
        lengths = TYPICAL | ({"query": round(fmean(map(len, queries)))} if queries else {})
        texts: dict[str, Any] = {name: ("word " * length)[:length] for name, length in lengths.items()}
        return [Critique.model_construct(**texts)]

    def estimate_flawed(self, stage: Stage, verdicts: Sequence[Critique]) -> tuple[float, str]:
        """Return the share of prompts that are found flawed, of this run's own, else of the last run's, and whence.

        `stage` writes the verdicts or reads them.
        """
        assumed = FLAWED_OFFLINE
        if not self.params.teacher.needs.stand_in:
            assumed = FLAWED_BY_POLICY if self.is_of_policy(stage) else FLAWED_BY_TEACHER
        if len(verdicts) >= LEAST_SEEN:
            return self.share(
                sum(not row.aligned for row in verdicts), len(verdicts), assumed, "as in those already judged"
            )
        counts = self.read_refine_counts(stage)
        units = counts.get("units_in")
        return self.share(units and units - counts["dropped"].get("no_flaw", 0), units, assumed)

    def is_of_policy(self, stage: Stage) -> bool:
        """Return whether the prompts behind a stage are samples of the policy."""
        return any(declaration_of(self.stages[name]) is ROLLOUT for name in self.before[stage.name])

    def read_refine_counts(self, stage: Stage) -> dict[str, Any]:
        """Return what the stage counted that refines the same prompts in the last run; {} where there is none."""
        paths = {*stage.paths, *stage.outs}
        for other in (stage, *self.stages.values()):
            if paths & {*other.paths} and declaration_of(other) is REFINE:
                return self.metrics(other)
        return {}

    def share(
        self, part: float | None, whole: float | None, assumed: Assumed, whence: str = "as in the last run"
    ) -> tuple[float, str]:
        """Return part / whole and whence it is; what is assumed, where too few were counted."""
        if not whole or whole < LEAST_SEEN:
            self.assumes = True
            return (assumed.least, assumed.likely, assumed.most)[self.bound], assumed.source
        return max((part or 0) / whole, 0.01), whence

    def kept(self, stage: Stage) -> float:
        """Return the share of units that went on in the last run, 1 where there was none."""
        counts = self.metrics(stage)
        return counts["units_done"] / counts["units_in"] if counts.get("units_in") else 1.0

    def metrics(self, stage: Stage) -> dict[str, Any]:
        """Return what the last run of a stage counted; {} where other models or another source made it, or none did.

        Without DVC nobody knows who made it, and it is taken as it is.
        """
        if self.changed is not None:
            behind = [stage.name, *self.before[stage.name]]
            if stage.name not in self.lock:
                return {}
            for name in behind:
                recorded = writers_of(self.lock.get(name, {}).get("params", {}).get(stage.params_file, {}))
                if differing(self.params, recorded):
                    return {}
        try:
            file = Path(stage.metrics[0]) if stage.metrics else metrics_path(Path(stage.paths[-1]))
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
