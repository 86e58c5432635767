"""What every asking stage would buy: the stages themselves run over what is there, with a teacher that only looks.

Where rows are not there yet their number is estimated, and each figure that is not known says where it is from.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.backends.teacher import Messages
from pipeline.calls.endpoint import base_url_of, host_of
from pipeline.calls.prices import Price, find_price
from pipeline.critique import critique, is_open
from pipeline.critique import messages as critique_messages
from pipeline.curation.benchmarks import read_benchmarks
from pipeline.curation.read import read
from pipeline.curation.safety import messages as recheck_messages
from pipeline.fewshot import fewshot
from pipeline.fewshot import messages as fewshot_messages
from pipeline.io import beside, read_rows
from pipeline.queries import LEAST_ASKED, exemplars, queries, remembered
from pipeline.refine import messages as refine_messages
from pipeline.refine import refine
from pipeline.rollout import stored, untouched
from pipeline.store import Store
from pipeline.words import Template
from pipeline.world.corpus import synthetic_queries
from schemas.base import Dropped, Prompt, Row
from schemas.critique import Critique
from schemas.fewshot import Exemplar
from schemas.params import Params, Teacher
from schemas.queries import Query
from schemas.rollout import Rollout
from vpo.plan_graph import Stage, ancestors, unrolled
from vpo.plan_lookup import NOT_BOUGHT, Asked, Planned, sent
from vpo.plan_tokens import Tokens
from vpo.plan_votes import expected_votes, verdict

LARGEST = 50_000_000
"""bytes of a source file whose curation is run for the plan: half a minute"""
UNSAFE, FLAWED, NO_AGAIN, STILL_FLAWED = 0.7, 0.35, 0.8, 0.2
"""ours, until a run shows them: shares of safety candidates that are unsafe, of prompts found flawed, of later votes
that say No too, of refined prompts that the critic still faults"""
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


class Planner:
    """Goes through the asking stages in order, from the project's root.

    `changed` are the stages that DVC would run now; None where that is not known, then every file is taken as it is.
    """

    def __init__(self, params: Params, store: Store, changed: set[str] | None = None):
        self.params, self.store, self.changed = params, store, changed
        self.stages = unrolled(Path())
        self.before = ancestors(self.stages)
        self.stale = set(changed or ()) - {"params"}  # it writes a constant, whatever params.yaml says
        self.made: dict[str, Rows] = {}
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

    def is_idle(self, stage: Stage) -> bool:
        """Return whether DVC would not run the stage: neither it nor anything before it has changed."""
        made = all(Path(out).exists() for out in stage.outs)
        return self.changed is not None and made and not self.stale & {stage.name, *self.before[stage.name]}

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

    def teacher(self, seam: Teacher, suppose: Callable[[int], Any] = lambda sample: None) -> Planned:
        return Planned(seam, self.params.world, self.store, self.planned, suppose)

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
        if described is None or asked is None or described.prompts == "policy":
            return None
        if described.prompts == "query":
            return Rows(list(untouched(asked.known, maker.options[-1])), asked.unknown, maker.paths[0])
        source = self.made.get(described.source)
        if source is None:
            return None
        written = {row.query_id: row for row in reversed(source.known)}
        copies = stored(asked.known, written, {}, maker.options[-1])
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


def mean_sent(asked: Iterable[Messages]) -> float:
    return fmean(sent({"messages": messages}) for messages in asked)
