"""What every stage would read: rows that are there or that the plan has made, else as many as the last run suggests."""

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
from vpo.graph import Graph, read_graph
from vpo.planning.declarations import declaration_of
from vpo.unroll import Stage

FLAWED = 0.35
"""ours, until a run shows it: the share of prompts that are found flawed"""
LEAST_SEEN = 20
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
    """

    def __init__(self, params: Params, changed: set[str] | None = None, graph: Graph | None = None):
        self.params, self.changed = params, changed
        self.graph = graph or read_graph(Path())
        self.stages, self.before = self.graph.stages, self.graph.before
        self.stale = set(changed or ()) - {"params"}  # it writes a constant, whatever params.yaml says
        self.made: dict[str, Rows] = {}

    def is_idle(self, stage: Stage) -> bool:
        """Return whether DVC would not run the stage: neither it nor anything before it has changed."""
        made = all(Path(out).exists() for out in stage.outs)
        return self.changed is not None and made and not self.stale & {stage.name, *self.before[stage.name]}

    def rows(self, path: str, row: type[Row]) -> Rows:
        """Return what a stage will read from `path`: what the plan has made, else the file, else a number."""
        if path in self.made:
            return self.made[path]
        maker = self.graph.maker(path)
        samples = maker is not None and declaration_of(maker) is ROLLOUT
        if maker and samples and (copied := self.copy_rows(maker)):
            return copied
        late = self.late(path)
        if Path(path).is_file():
            there = list(read_rows(path, row))
            if not late:
                return Rows(there, 0.0, path)
            return Rows((), len(there), f"as many as {path} holds; made anew behind {late}", like=there)
        if maker and samples:
            return self.count_samples(maker)
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
        return Rows((), count * kept(maker), f"{each} for each query of {maker.paths[0]}")

    def late(self, path: str) -> str | None:
        """Return the first stage of those that make `path`, one behind the other, that is to run; None for none."""
        maker = self.graph.maker(path)
        if maker is None:
            return None
        behind = {maker.name, *self.before[maker.name]} & self.stale
        return next((name for name in self.stages if name in behind), None)

    def copy_rows(self, maker: Stage) -> Rows | None:
        """Return the rows of an arm that no policy writes, where the plan has made what it copies."""
        described = self.params.evaluate.arms.get(maker.options[-1]) if "--arm" in maker.options else None
        read = self.made.get(maker.paths[0])
        if described is None or read is None or described.prompts not in ("query", "stored"):
            return None
        if described.prompts == "query":
            return Rows(list(copy_queries(read.present, maker.options[-1])), read.unknown, maker.paths[0])
        source = self.made.get(described.source)
        if source is None:
            return None
        written = {row.query_id: row for row in reversed(source.present)}
        copies = copy_prompts(read.present, StoredPrompts(written, {}), maker.options[-1])
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
        if len(verdicts) >= LEAST_SEEN:
            return self.share(
                sum(not row.aligned for row in verdicts), len(verdicts), FLAWED, "as in those already judged"
            )
        counts = self.read_refine_counts(stage)
        units = counts.get("units_in")
        return self.share(units and units - counts["dropped"].get("no_flaw", 0), units, FLAWED)

    def read_refine_counts(self, stage: Stage) -> dict[str, Any]:
        """Return what the stage counted that refines the same prompts in the last run; {} where there is none."""
        paths = {*stage.paths, *stage.outs}
        for other in (stage, *self.stages.values()):
            if paths & {*other.paths} and declaration_of(other) is REFINE:
                return metrics(other.paths[-1])
        return {}

    def share(
        self, part: float | None, whole: float | None, assumed: float, whence: str = "as in the last run"
    ) -> tuple[float, str]:
        """Return part / whole and whence it is; what is assumed, where too few were counted."""
        if not whole or whole < LEAST_SEEN:
            return assumed, "assumed"
        return max((part or 0) / whole, 0.01), whence


def kept(stage: Stage) -> float:
    """Return the share of units that went on in the last run, 1 where there was none."""
    counts = metrics(stage.paths[-1])
    return counts["units_done"] / counts["units_in"] if counts.get("units_in") else 1.0


def metrics(out: str) -> dict[str, Any]:
    """Return what the last run counted for an output; {} where there is nothing to read."""
    try:
        return json.loads(metrics_path(Path(out)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
