"""What every stage would read: rows that are there or that the plan has made, else as many as the last run suggests."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pipeline.evaluation.prompt_sources import StoredPrompts, copy_prompts, copy_queries
from pipeline.runtime.io import beside, read_rows
from schemas.base import Prompt, Row
from schemas.critique import Critique
from schemas.params import Params
from vpo.planning.graph import Stage, ancestors, unrolled

FLAWED = 0.35
"""ours, until a run shows it: the share of prompts that are found flawed"""
LEAST_SEEN = 20
TYPICAL = {"query": 60, "prompt": 550, "critique": 700}
"""ours, until rows show it: characters"""


@dataclass
class Rows:
    """What a stage reads: the rows that are known, and how many more there will be; `like` shows what those may be."""

    known: Sequence[Row] = ()
    unknown: float = 0.0
    source: str = ""
    like: Sequence[Row] = ()


class RowPlan:
    """The rows between the stages of the project whose root this folder is. `made` are those that the plan has made.

    `changed` are the stages that DVC would run now; None where that is not known, then every file is taken as it is.
    """

    def __init__(self, params: Params, changed: set[str] | None = None):
        self.params, self.changed = params, changed
        self.stages = unrolled(Path())
        self.before = ancestors(self.stages)
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
        maker = next((other for other in self.stages.values() if path in other.outs), None)
        if maker and maker.module == "rollout" and (copied := self.copied(maker)):
            return copied
        late = self.late(path)
        if Path(path).is_file():
            found = list(read_rows(path, row))
            if not late:
                return Rows(found, 0.0, path)
            return Rows((), len(found), f"as many as {path} holds; made anew behind {late}", like=found)
        if maker is None or maker.module != "rollout":
            return Rows((), 0.0, f"{path} is not there, and no stage of dvc.yaml that a plan knows makes it")
        if self.params.d_dpo.path and "--arm" not in maker.options:
            return Rows(source="d_dpo.path takes its place")
        asked = self.made[maker.paths[0]]
        each = 1 if "--arm" in maker.options else self.params.rollout.k
        count = (len(asked.known) + asked.unknown) * each
        return Rows((), count * kept(maker), f"{each} for each query of {maker.paths[0]}")

    def late(self, path: str) -> str | None:
        """Return the first stage of those that make `path`, one behind the other, that is to run; None for none."""
        maker = next((other for other in self.stages.values() if path in other.outs), None)
        if maker is None:
            return None
        behind = {maker.name, *self.before[maker.name]} & self.stale
        return next((name for name in self.stages if name in behind), None)

    def copied(self, maker: Stage) -> Rows | None:
        """Return the rows of an arm that no policy writes, where the plan has made what it copies."""
        described = self.params.evaluate.arms.get(maker.options[-1]) if "--arm" in maker.options else None
        asked = self.made.get(maker.paths[0])
        if described is None or asked is None or described.prompts not in ("query", "stored"):
            return None
        if described.prompts == "query":
            return Rows(list(copy_queries(asked.known, maker.options[-1])), asked.unknown, maker.paths[0])
        source = self.made.get(described.source)
        if source is None:
            return None
        written = {row.query_id: row for row in reversed(source.known)}
        copies = copy_prompts(asked.known, StoredPrompts(written, {}), maker.options[-1])
        return Rows([row for row in copies if isinstance(row, Prompt)], source.unknown, source.source)

    def examples(self, like: Sequence[Row]) -> Iterable[Row]:
        """Return rows whose lengths stand for those that are not there yet."""
        if like:
            return like[:: max(len(like) // 50, 1)]
        seen = [row.query for made in self.made.values() for row in made.known]
        lengths = TYPICAL | ({"query": round(fmean(map(len, seen)))} if seen else {})
        return [Critique.model_construct(**{name: ("word " * length)[:length] for name, length in lengths.items()})]

    def flawed(self, stage: Stage, known: Sequence[Critique]) -> tuple[float, str]:
        """Return the share of prompts that are found flawed: of this run's own, else of the last run's."""
        if len(known) >= LEAST_SEEN:
            return self.share(sum(not row.aligned for row in known), len(known), FLAWED, "as in those already judged")
        seen = metrics(str(Path(stage.paths[-1]).with_name("refine.jsonl")))
        units = seen.get("units_in")
        return self.share(units and units - seen["dropped"].get("no_flaw", 0), units, FLAWED)

    def share(self, part, whole, assumed: float, whence: str = "as in the last run") -> tuple[float, str]:
        if not whole or whole < LEAST_SEEN:
            return assumed, "assumed"
        return max(part / whole, 0.01), whence


def kept(stage: Stage) -> float:
    """Return the share of units that went on in the last run, 1 where there was none."""
    seen = metrics(stage.paths[-1])
    return seen["units_done"] / seen["units_in"] if seen.get("units_in") else 1.0


def metrics(out: str) -> dict:
    """Return what the last run counted for an output; {} where there is nothing to read."""
    try:
        return json.loads(beside(Path(out))[1].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
