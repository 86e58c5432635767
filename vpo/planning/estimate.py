"""What every asking stage would buy: the stages themselves run over what is there, with a teacher that only looks.

Where rows are not there yet their number is estimated, and each figure that is not known says where it is from.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.critique import critique, is_open
from pipeline.critique import messages as critique_messages
from pipeline.curation.benchmarks import read_benchmarks
from pipeline.curation.read import read
from pipeline.curation.safety import messages as recheck_messages
from pipeline.fewshot import fewshot
from pipeline.fewshot import messages as fewshot_messages
from pipeline.llm.calls.endpoint import base_url_of, host_of
from pipeline.llm.calls.prices import Price, find_price
from pipeline.llm.template import Template
from pipeline.queries import LEAST_ASKED, exemplars, queries, remembered
from pipeline.refine import messages as refine_messages
from pipeline.refine import refine
from pipeline.runtime.io import read_rows
from pipeline.runtime.store import Store
from pipeline.world.corpus import synthetic_queries
from schemas.base import Dropped, Prompt, Row
from schemas.critique import Critique
from schemas.fewshot import Exemplar
from schemas.params import Params, TeacherParams
from schemas.queries import Query
from schemas.rollout import Rollout
from schemas.seams import Messages
from vpo.planning.lookup import NOT_BOUGHT, Asked, Planned, sent
from vpo.planning.rows import RowPlan, Rows, kept, metrics
from vpo.planning.tokens import Tokens
from vpo.planning.votes import expected_votes, verdict
from vpo.unroll import Stage

LARGEST = 50_000_000
"""bytes of a source file whose curation is run for the plan: half a minute"""
UNSAFE, NO_AGAIN, STILL_FLAWED = 0.7, 0.8, 0.2
"""ours, until a run shows them: shares of safety candidates that are unsafe, of later votes that say No too, of refined
prompts that the critic still faults"""


@dataclass
class Estimate:
    """The calls of one stage; tokens and US dollars are of the calls to buy alone."""

    stage: str
    seam: str
    backend: str
    model: str
    rows: float = 0.0
    rows_from: str = ""
    calls: float = 0.0
    in_store: int = 0
    to_buy: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    usd: float | None = 0.0
    notes: list[str] = field(default_factory=list)

    def say(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


class Planner(RowPlan):
    """Goes through the asking stages in order, from the project's root; `changed` as in RowPlan."""

    def __init__(self, params: Params, store: Store, changed: set[str] | None = None):
        super().__init__(params, changed)
        self.store = store
        self.planned: set[str] = set()
        self.tokens: dict[str, Tokens] = {}
        self.prices: dict[str, Price | None] = {}
        for name, seam in (("teacher", params.teacher), ("judge", params.judge)):
            if seam.backend != "offline":
                self.tokens[name] = Tokens(store, host_of(base_url_of(seam)), seam.model)
                self.prices[name] = find_price(seam, base_url_of(seam), store)

    def estimates(self) -> list[Estimate]:
        plan = {"queries": self.queries, "fewshot": self.fewshot, "critique": self.critique, "refine": self.refine}
        found = []
        for stage in sorted(self.stages.values(), key=lambda stage: len(self.before[stage.name])):
            if stage.module in plan:
                found.append(self.idle(stage) if self.is_idle(stage) else plan[stage.module](stage))
                if found[-1].to_buy:
                    self.stale.add(stage.name)
        return found

    def idle(self, stage: Stage) -> Estimate:
        outs, row = {"queries": (stage.paths, Query), "critique": (stage.paths[-1:], Critique)}.get(
            stage.module, (stage.paths[-1:], Prompt)
        )
        if stage.module != "refine":
            self.made |= {out: Rows(list(read_rows(out, row)), 0.0, out) for out in outs}
        estimate = self.blank(stage)
        estimate.say("unchanged: does not run")
        return estimate

    def queries(self, stage: Stage) -> Estimate:
        params = self.params.queries
        before = metrics(stage.paths[0].replace("/sft.jsonl", ".jsonl")).get("recheck", {})
        unsafe, whence = self.share(before.get("unsafe"), before.get("asked"), UNSAFE)
        told: dict = {}
        planned = self.teacher(self.params.teacher, lambda sample: True)
        template = Template(params.recheck_template, ("query",))
        small = params.source == "synthetic" or (
            params.source == "file" and Path(params.path).is_file() and Path(params.path).stat().st_size < LARGEST
        )
        if small:
            raws = read(params, synthetic_queries(self.params.world.queries, self.params.base.seed))
            lists = exemplars(self.params) | read_benchmarks(params.benchmarks)[0]
            rows, _ = queries(raws, planned, template, lists, params, self.params.base.seed, told, remembered(params))
        estimate = self.blank(stage)
        for out in stage.paths:
            split = Path(out).stem
            wanted = getattr(params, split) + getattr(params, f"{split}_safety")
            if small:
                self.made[out] = Rows([row for row in rows if row.split == split], 0.0, stage.name)
            elif Path(out).is_file():
                self.made[out] = Rows(list(read_rows(out, Query)), 0.0, f"{out} as it is")
            else:
                self.made[out] = Rows((), wanted, f"queries.{split} + queries.{split}_safety")
        asked = len(planned.asked.stored) + len(planned.asked.missing)
        demand = sum(getattr(params, f"{split}_safety") for split in ("sft", "dpo", "test"))
        more = 0.0
        if small:
            estimate.rows, estimate.rows_from = told["recheck"]["candidates"], "safety candidates of the source"
            if planned.asked.supposed:
                more = max(asked_in_rounds(demand, unsafe, told["recheck"]["candidates"]) - asked, 0)
        else:
            estimate.rows = more = asked_in_rounds(demand, unsafe)
            estimate.rows_from = "queries.*_safety; the source is not read for a plan"
        if more:
            estimate.say(f"{unsafe:.0%} of the safety candidates are unsafe: {whence}")
        like = [row for made in self.made.values() for row in made.known]
        return self.count(
            estimate, planned.asked, {"recheck": more},
            {"recheck": lambda: mean_sent(recheck_messages(row.query, template) for row in self.examples(like))},
        )  # fmt: skip

    def fewshot(self, stage: Stage) -> Estimate:
        rows = self.rows(stage.paths[0], Query)
        if self.params.d_sft.path and stage.options[-1:] == ("sft",):
            self.made[stage.paths[-1]] = Rows(source="d_sft.path")
            return self.blank(stage, Rows(source="d_sft.path takes its place"))
        planned = self.teacher(self.params.teacher)
        made = list(fewshot(rows.known, planned, self.params.fewshot))
        known = [item for item in made if not isinstance(item, Dropped)]
        self.made[stage.paths[-1]] = Rows(
            known, (lost(made) + rows.unknown) * kept(stage), f"what {stage.name} makes", like=known
        )
        words = Template(self.params.fewshot.template)
        shown = list(read_rows(self.params.fewshot.exemplars, Exemplar))
        return self.count(
            self.blank(stage, rows), planned.asked, {"fewshot": rows.unknown},
            {"fewshot": lambda: mean_sent(fewshot_messages(row, words, shown) for row in self.examples(rows.like))},
        )  # fmt: skip

    def critique(self, stage: Stage) -> Estimate:
        judge = "--judge" in stage.options
        seam = self.params.judge if judge else self.params.teacher
        votes = 1 if judge else self.params.critique.votes
        rows = self.rows(stage.paths[0], Rollout)
        planned = self.teacher(seam, lambda sample: verdict(aligned=False) if sample else None)
        made = list(critique(rows.known, planned, self.params.critique, votes))
        known = [item for item in made if not isinstance(item, Dropped)]
        unknown = lost(made) + rows.unknown
        estimate = self.blank(stage, rows)
        self.made[stage.paths[-1]] = Rows(known, unknown * kept(stage), f"what {stage.name} makes", like=known)
        more = rows.unknown
        if votes > 1:
            later = [vote.aligned for row in known for vote in row.votes[1:] if vote.store_key]
            again, whence = self.share(later.count(False), len(later), NO_AGAIN)
            flawed, whence_flawed = self.flawed(stage, known)
            each = expected_votes(votes, again, is_open)
            more += unknown * flawed * each + planned.asked.supposed * max(each - 1, 0)
            if unknown:
                estimate.say(f"{flawed:.0%} of the prompts get a first No: {whence_flawed}")
            if unknown or planned.asked.supposed:
                estimate.say(
                    f"a later vote says No too in {again:.0%}, so {each:.2f} votes follow a first No: {whence}"
                )
        words = Template(self.params.critique.template)
        return self.count(
            estimate, planned.asked, {"critique": more},
            {"critique": lambda: mean_sent(critique_messages(row, words) for row in self.examples(rows.like))},
        )  # fmt: skip

    def refine(self, stage: Stage) -> Estimate:
        params = self.params.refine
        rows = self.rows(stage.paths[0], Critique)
        flawed = [row for row in rows.known if not row.aligned]
        planned = self.teacher(self.params.teacher)
        made = list(refine(flawed, planned, params, self.params.critique))
        estimate = self.blank(stage, Rows(flawed, 0.0, rows.source))
        unrefined = lost(made)
        unchecked = sum(isinstance(item, Dropped) and item.detail.endswith(f": {NOT_BOUGHT}") for item in made)
        unknown = 0.0
        if rows.unknown:
            share, whence = self.flawed(stage, rows.known)
            unknown = rows.unknown * share
            estimate.rows += unknown
            estimate.say(f"{share:.0%} of the prompts are found flawed: {whence}")
        failing, rounds = 0.0, 1.0
        if params.verify and (unknown or unrefined or unchecked):
            seen = metrics(stage.paths[-1])
            failing, whence = self.share(seen.get("refined_again"), seen.get("rows"), STILL_FLAWED)
            rounds = sum(failing**number for number in range(params.verify))
            estimate.say(f"the critic faults {failing:.0%} of what was refined: {whence}")
        more = {"refine": unknown * rounds + (unrefined + unchecked) * (rounds - 1)}
        if params.verify:
            more["critique"] = (unknown + unrefined) * rounds + unchecked * (rounds - 1)
        words, critique_words = Template(params.template), Template(self.params.critique.template)
        like = flawed or rows.like
        return self.count(
            estimate, planned.asked, more,
            {
                "refine": lambda: mean_sent(
                    refine_messages(row, words, critique_words) for row in self.examples(like)
                ),
                "critique": lambda: mean_sent(critique_messages(row, critique_words) for row in self.examples(like)),
            },
        )  # fmt: skip

    def teacher(self, seam: TeacherParams, suppose: Callable[[int], Any] = lambda sample: None) -> Planned:
        return Planned(seam, self.params.world, self.store, self.planned, suppose)

    def blank(self, stage: Stage, rows: Rows | None = None) -> Estimate:
        seam = "judge" if "--judge" in stage.options else "teacher"
        params = getattr(self.params, seam)
        rows = rows or Rows()
        return Estimate(stage.name, seam, params.backend, params.model, len(rows.known) + rows.unknown, rows.source)

    def count(
        self, estimate: Estimate, asked: Asked, more: dict[str, float], each: dict[str, Callable[[], float]]
    ) -> Estimate:
        """Add calls, tokens and money: of the calls that are known to be missing, and of `more`, expected by task."""
        calls, characters = asked.by_task()
        known: Counter = Counter()
        length: Counter = Counter()
        for task, sent_characters in (*asked.missing.values(), *asked.stored.values()):
            known[task] += 1
            length[task] += sent_characters
        for task, count in more.items():
            if count:
                calls[task] += count
                characters[task] += count * (length[task] / known[task] if known[task] else each[task]())
        estimate.in_store = len(asked.stored)
        estimate.to_buy = sum(calls.values())
        estimate.calls = estimate.in_store + estimate.to_buy
        if estimate.backend == "offline":
            estimate.in_store, estimate.to_buy = 0, 0.0
            return estimate
        for task in sorted(calls):
            if calls[task]:
                tokens = self.tokens[estimate.seam].of(task, calls[task], characters[task], estimate.say)
                estimate.input_tokens += tokens[0]
                estimate.output_tokens += tokens[1]
        price = self.prices[estimate.seam]
        estimate.usd = price.usd(estimate.input_tokens, estimate.output_tokens) if price else None
        return estimate


def asked_in_rounds(demand: float, unsafe: float, candidates: float = float("inf")) -> float:
    """Return how many safety candidates are asked about until `demand` are found, by the rounds of stage queries."""
    asked = 0.0
    while demand >= 0.5 and asked < candidates:
        these = min(max(demand, LEAST_ASKED), candidates - asked)
        asked += these
        demand -= these * unsafe
    return asked


def lost(made: Iterable[Row]) -> int:
    """Return how many units left because their answer is not bought yet."""
    return sum(isinstance(item, Dropped) and item.detail == NOT_BOUGHT for item in made)


def mean_sent(asked: Iterable[Messages]) -> float:
    return fmean(sent({"messages": messages}) for messages in asked)
