"""What every asking stage would buy: the stages themselves run over what is there, with a teacher that only looks.

Where rows are not there yet their number is estimated, and each figure that is not known says where it is from.
"""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from pipeline.critique import STAGE as CRITIQUE
from pipeline.critique import critique, is_open
from pipeline.critique import messages as critique_messages
from pipeline.curation.benchmarks import read_benchmarks
from pipeline.curation.safety import messages as recheck_messages
from pipeline.curation.sources import read_frames
from pipeline.fewshot import STAGE as FEWSHOT
from pipeline.fewshot import fewshot
from pipeline.fewshot import messages as fewshot_messages
from pipeline.llm.calls.endpoint import base_url_of, host_of
from pipeline.llm.calls.prices import Price, find_price
from pipeline.llm.template import Template
from pipeline.queries import STAGE as QUERIES
from pipeline.queries import queries, read_exemplars, remember_filters
from pipeline.refine import STAGE as REFINE
from pipeline.refine import messages as refine_messages
from pipeline.refine import refine
from pipeline.rollout import STAGE as ROLLOUT
from pipeline.runtime.io import read_rows
from pipeline.runtime.store import Store
from pipeline.world.corpus import make_queries
from schemas.base import Dropped, QueryBase
from schemas.critique import Critique
from schemas.fewshot import Exemplar
from schemas.params import EndpointParams, LlmArmParams, Params
from schemas.queries import Query
from schemas.rollout import Rollout
from schemas.stage import Ask
from vpo.graph import Graph
from vpo.planning.declarations import asks_of, declaration_of, section_at
from vpo.planning.expected import Estimate, ask_in_rounds, count_lost, mean_sent
from vpo.planning.lookup import NOT_BOUGHT, Calls, Planned, endpoint_of, is_paid
from vpo.planning.rows import UNKNOWN, RowPlan, Rows
from vpo.planning.sampled import Served, ask_arm
from vpo.planning.shares import CUT, LIKELY, NO_AGAIN, STILL_FLAWED, UNSAFE
from vpo.planning.tokens import Tokens
from vpo.planning.votes import expected_votes, verdict
from vpo.unroll import Stage

LARGEST = 50_000_000
"""bytes of a source file whose curation is run for the plan: half a minute"""


class Planner(RowPlan):
    """Goes through the stages that ask a teacher, a judge or a policy that is paid, from the project's root.

    `changed`, `graph` and `bound` as in RowPlan.
    """

    def __init__(
        self,
        params: Params,
        store: Store,
        changed: set[str] | None = None,
        graph: Graph | None = None,
        bound: int = LIKELY,
    ) -> None:
        super().__init__(params, changed, graph, bound)
        self.store = store
        self.planned: set[str] = set()
        self.tokens: dict[str, Tokens] = {}
        self.prices: dict[str, Price | None] = {}
        self.counters = {
            QUERIES: self.queries, FEWSHOT: self.fewshot, CRITIQUE: self.critique, REFINE: self.refine,
            ROLLOUT: self.rollout,
        }  # fmt: skip

    def estimates(self) -> list[Estimate]:
        """Return what each stage that asks a teacher, a judge or a paid policy would buy, in the order of the graph."""
        estimates = []
        for stage in self.graph.ordered:
            asks = asks_of(stage, self.params, "teacher")
            asks += [ask for ask in asks_of(stage, self.params, "policy") if is_paid(self.section(ask))]
            for ask in asks:
                estimates.append(self.idle(stage, ask) if self.is_idle(stage) else self.estimate(stage, ask))
                if estimates[-1].to_buy:
                    self.stale.add(stage.name)
        return estimates

    def estimate(self, stage: Stage, ask: Ask) -> Estimate:
        """Return what a stage would buy: unknown where no counter of ours is for it, or its rows cannot be counted."""
        declaration = declaration_of(stage)
        counter = self.counters.get(declaration) if declaration else None
        if counter is None:
            return self.leave_unknown(stage, ask, Rows((), UNKNOWN, "no plan can count what this stage asks"))
        row = declaration.reads[0] if declaration and declaration.reads else None
        # a file that is there is read by the counter itself
        is_there = bool(stage.paths) and stage.paths[0] not in self.made and Path(stage.paths[0]).is_file()
        rows = Rows() if row is None or is_there else self.rows(stage.paths[0], row)
        if math.isnan(rows.unknown):
            return self.leave_unknown(stage, ask, rows)
        return counter(stage, ask)

    def leave_unknown(self, stage: Stage, ask: Ask, rows: Rows) -> Estimate:
        """Return an estimate whose numbers nobody knows; what an offline backend answers costs nothing all the same."""
        estimate = self.blank(stage, ask, rows)
        estimate.calls = UNKNOWN
        if estimate.paid:
            estimate.in_store = estimate.to_buy = estimate.input_tokens = estimate.output_tokens = UNKNOWN
            estimate.usd = UNKNOWN
        return estimate

    def idle(self, stage: Stage, ask: Ask) -> Estimate:
        """Return the estimate of a stage that does not run; what it made is there for the stages behind it."""
        declaration = declaration_of(stage)
        row = declaration.row if declaration else None
        if row and issubclass(row, QueryBase):
            tables = [out for out in stage.outs if out in stage.paths]
            self.made |= {out: Rows(list(read_rows(out, row)), 0.0, out) for out in tables}
        estimate = self.blank(stage, ask)
        estimate.say("unchanged: does not run")
        return estimate

    def queries(self, stage: Stage, ask: Ask) -> Estimate:
        """Return what the safety re-check would ask; of a small source the stage itself says it."""
        params = self.params.queries
        before = self.metrics(stage).get("recheck", {})
        unsafe, whence = self.share(before.get("unsafe"), before.get("asked"), UNSAFE)
        planned = self.teacher(ask, lambda sample: True)
        template = Template(params.recheck_template, ("query",))
        file = Path(params.path) if params.source == "file" and params.path else None
        small = params.source == "synthetic" or bool(file and file.is_file() and file.stat().st_size < LARGEST)
        if small:
            raws = read_frames(params, make_queries(self.params.world.queries, self.params.base.seed))
            lists = read_exemplars(self.params) | read_benchmarks(params.benchmarks)[0]
            seed, run_filters = self.params.base.seed, remember_filters(params)
            result = queries(raws, planned, template, lists, params, seed, run_filters)
            rows, candidates = result.rows, result.report["recheck"]["candidates"]
        estimate = self.blank(stage, ask)
        for out in stage.paths:
            split = Path(out).stem
            wanted = getattr(params, split) + getattr(params, f"{split}_safety")
            if small:
                self.made[out] = Rows([row for row in rows if row.split == split], 0.0, stage.name)
            elif Path(out).is_file() and not self.late(out):
                self.made[out] = Rows(list(read_rows(out, Query)), 0.0, f"{out} as it is")
            else:
                self.made[out] = Rows((), wanted, f"queries.{split} + queries.{split}_safety")
        n_asked = len(planned.calls.stored) + len(planned.calls.missing)
        demand = sum(getattr(params, f"{split}_safety") for split in ("sft", "dpo", "test"))
        more = 0.0
        if small:
            estimate.rows, estimate.rows_from = candidates, "safety candidates of the source"
            if planned.calls.supposed:
                more = max(ask_in_rounds(demand, unsafe, candidates) - n_asked, 0)
        else:
            estimate.rows = more = ask_in_rounds(demand, unsafe)
            estimate.rows_from = "queries.*_safety; the source is not read for a plan"
        if more:
            estimate.say(f"{unsafe:.0%} of the safety candidates are unsafe: {whence}")
        like = [row for made in self.made.values() for row in made.present]
        return self.count(
            estimate, planned.calls, {"recheck": more},
            {"recheck": lambda: mean_sent(recheck_messages(row.query, template) for row in self.examples(like))},
        )  # fmt: skip

    def fewshot(self, stage: Stage, ask: Ask) -> Estimate:
        """Return what writing a prompt for each query would ask."""
        rows = self.rows(stage.paths[0], Query)
        if self.params.d_sft.path and stage.word_after("--lane") == "sft":
            self.made[stage.paths[-1]] = Rows(source="d_sft.path")
            return self.blank(stage, ask, Rows(source="d_sft.path takes its place"))
        planned = self.teacher(ask)
        made = list(fewshot(rows.present, planned, self.params.fewshot))
        written = [item for item in made if not isinstance(item, Dropped)]
        self.made[stage.paths[-1]] = Rows(
            written, (count_lost(made) + rows.unknown) * self.kept(stage), f"what {stage.name} makes", like=written
        )
        words = Template(self.params.fewshot.template)
        shown = list(read_rows(self.params.fewshot.exemplars, Exemplar))
        return self.count(
            self.blank(stage, ask, rows), planned.calls, {"fewshot": rows.unknown},
            {"fewshot": lambda: mean_sent(fewshot_messages(row, words, shown) for row in self.examples(rows.like))},
        )  # fmt: skip

    def critique(self, stage: Stage, ask: Ask) -> Estimate:
        """Return what judging each prompt would ask, later votes included."""
        votes = 1 if ask.section == "judge" else self.params.critique.votes
        rows = self.rows(stage.paths[0], Rollout)
        planned = self.teacher(ask, lambda sample: verdict(aligned=False) if sample else None)
        made = list(critique(rows.present, planned, self.params.critique, votes))
        judged = [item for item in made if not isinstance(item, Dropped)]
        unknown = count_lost(made) + rows.unknown
        estimate = self.blank(stage, ask, rows)
        self.made[stage.paths[-1]] = Rows(judged, unknown * self.kept(stage), f"what {stage.name} makes", like=judged)
        more = rows.unknown
        if votes > 1:
            later = [vote.aligned for row in judged for vote in row.votes[1:] if vote.store_key]
            again, whence = self.share(later.count(False), len(later), NO_AGAIN)
            flawed, whence_flawed = self.estimate_flawed(stage, judged)
            each = expected_votes(votes, again, is_open)
            more += unknown * flawed * each + planned.calls.supposed * max(each - 1, 0)
            if unknown:
                estimate.say(f"{100 * flawed:.3g}% of the prompts get a first No: {whence_flawed}")
            if unknown or planned.calls.supposed:
                estimate.say(
                    f"a later vote says No too in {again:.0%}, so {each:.2f} votes follow a first No: {whence}"
                )
        words = Template(self.params.critique.template)
        return self.count(
            estimate, planned.calls, {"critique": more},
            {"critique": lambda: mean_sent(critique_messages(row, words) for row in self.examples(rows.like))},
        )  # fmt: skip

    def refine(self, stage: Stage, ask: Ask) -> Estimate:
        """Return what mending the flawed prompts would ask, and looking at them again."""
        params = self.params.refine
        rows = self.rows(stage.paths[0], Critique)
        flawed = [row for row in rows.present if not row.aligned]
        planned = self.teacher(ask)
        made = list(refine(flawed, planned, params, self.params.critique))
        estimate = self.blank(stage, ask, Rows(flawed, 0.0, rows.source))
        unrefined = count_lost(made)
        unchecked = sum(isinstance(item, Dropped) and item.detail.endswith(f": {NOT_BOUGHT}") for item in made)
        unknown = 0.0
        if rows.unknown:
            share, whence = self.estimate_flawed(stage, rows.present)
            unknown = rows.unknown * share
            estimate.rows += unknown
            estimate.say(f"{100 * share:.3g}% of the prompts are found flawed: {whence}")
        failing, rounds = 0.0, 1.0
        if params.verify and (unknown or unrefined or unchecked):
            counts = self.metrics(stage)
            failing, whence = self.share(counts.get("refined_again"), counts.get("rows"), STILL_FLAWED)
            rounds = sum(failing**number for number in range(params.verify))
            estimate.say(f"the critic faults {failing:.0%} of what was refined: {whence}")
        more = {"refine": unknown * rounds + (unrefined + unchecked) * (rounds - 1)}
        if params.verify:
            more["critique"] = (unknown + unrefined) * rounds + unchecked * (rounds - 1)
        words, critique_words = Template(params.template), Template(self.params.critique.template)
        like = flawed or rows.like
        return self.count(
            estimate, planned.calls, more,
            {
                "refine": lambda: mean_sent(
                    refine_messages(row, words, critique_words) for row in self.examples(like)
                ),
                "critique": lambda: mean_sent(critique_messages(row, critique_words) for row in self.examples(like)),
            },
        )  # fmt: skip

    def rollout(self, stage: Stage, ask: Ask) -> Estimate:
        """Return what an arm's own LLM, or a policy that is served for money, would be asked: once a query."""
        rows = self.rows(stage.paths[0], Query)
        estimate = self.blank(stage, ask, rows)
        arm = self.params.evaluate.arms.get(stage.word_after("--arm") or "")
        if isinstance(arm, LlmArmParams):
            planned = self.teacher(ask, named="fewshot")
            messages = ask_arm(arm, rows.present, planned, self.params.fewshot.exemplars)
            each = {"fewshot": lambda: mean_sent(messages(row) for row in self.examples(rows.like))}
            return self.count(estimate, planned.calls, {"fewshot": rows.unknown}, each)
        served = Served(self.params, stage, arm.source if arm else stage.paths[1])
        estimate.model = served.model
        like, later, calls = rows.present or rows.like, rows.unknown, Calls()
        if served.is_there and not self.late(served.folder):
            calls = served.look_up(rows.present, self.store, self.planned)
        else:
            later += len(rows.present)
        each = {"rollout": lambda: fmean(map(served.characters, self.examples(like)))}
        return self.count(estimate, calls, {"rollout": later}, each, served.samples)

    def section(self, ask: Ask) -> Any:
        """Return the section of params that says who answers."""
        return section_at(self.params, ask.section)

    def teacher(self, ask: Ask, suppose: Callable[[int], Any] = lambda sample: None, named: str = "") -> Planned:
        """Return the teacher of a section that buys nothing; `suppose` and `named` as in Planned."""
        return Planned(self.section(ask), self.params.world, self.store, self.planned, suppose, named)

    def blank(self, stage: Stage, ask: Ask, rows: Rows | None = None) -> Estimate:
        """Return an estimate of a stage that reads these rows, without any call."""
        params = self.section(ask)
        rows = rows or Rows()
        n_rows = len(rows.present) + rows.unknown
        model = (endpoint_of(params) or params).model
        return Estimate(stage.name, ask.section, params.backend, model, is_paid(params), n_rows, rows.source)

    def count(
        self,
        estimate: Estimate,
        made: Calls,
        more: dict[str, float],
        each: dict[str, Callable[[], float]],
        samples: int = 1,
    ) -> Estimate:
        """Add calls, tokens and money: of the calls that are known to be missing, and of `more`, expected by task.

        `samples` are the answers that a call is for.
        """
        calls: dict[str, float] = {}
        characters: dict[str, float] = {}
        for task, sent_characters in made.missing.values():
            calls[task] = calls.get(task, 0) + 1
            characters[task] = characters.get(task, 0) + sent_characters
        n_calls: Counter[str] = Counter()
        length: Counter[str] = Counter()
        for task, sent_characters in (*made.missing.values(), *made.stored.values()):
            n_calls[task] += 1
            length[task] += sent_characters
        for task, count in more.items():
            if count:
                mean = length[task] / n_calls[task] if n_calls[task] else each[task]()
                calls[task] = calls.get(task, 0) + count
                characters[task] = characters.get(task, 0) + count * mean
        estimate.in_store = len(made.stored)
        estimate.to_buy = sum(calls.values())
        estimate.calls = estimate.in_store + estimate.to_buy
        if not estimate.paid:
            estimate.in_store, estimate.to_buy = 0, 0.0
            return estimate
        tokens_of = self.tokens_of(estimate)
        cut = self.estimate_cut(estimate) if estimate.to_buy else 0.0
        for task in sorted(calls):
            if calls[task]:
                tokens = tokens_of.of(task, calls[task], characters[task], estimate.say)
                estimate.input_tokens += tokens[0] * (1 + cut)
                room = self.room_of(estimate) or tokens[1] / calls[task]
                estimate.output_tokens += tokens[1] * samples + cut * calls[task] * room
        estimate.to_buy += cut * estimate.to_buy
        estimate.calls = estimate.in_store + estimate.to_buy
        price = self.prices[estimate.seam]
        estimate.usd = price.cost_usd(estimate.input_tokens, estimate.output_tokens) if price else None
        return estimate

    def estimate_cut(self, estimate: Estimate) -> float:
        """Return the share of answers that are bought twice because the first is cut or empty; say whence it is."""
        if not getattr(section_at(self.params, estimate.seam), "retry_truncated", None):
            return 0.0
        counts = self.metrics(self.stages[estimate.stage])
        dropped = counts.get("dropped", {})
        cut, whence = self.share(dropped.get("truncated", 0) + dropped.get("empty", 0), counts.get("units_in"), CUT)
        room = self.room_of(estimate)
        limit = f", with room for {room} output tokens" if room else ""
        estimate.say(f"retry_truncated buys {cut:.2g} of the answers once more{limit}: {whence}")
        return cut

    def room_of(self, estimate: Estimate) -> int:
        """Return the output tokens that an answer may have which is asked for once more; 0 where nothing limits it."""
        return 2 * (getattr(section_at(self.params, estimate.seam), "max_completion_tokens", None) or 0)

    def tokens_of(self, estimate: Estimate) -> Tokens:
        """Return how many tokens the model behind an estimate takes a call; its price stands in `prices` then."""
        if estimate.seam not in self.tokens:
            endpoint = cast("EndpointParams", endpoint_of(section_at(self.params, estimate.seam)))
            url = base_url_of(endpoint)
            self.tokens[estimate.seam] = Tokens(self.store, host_of(url), estimate.model)
            self.prices[estimate.seam] = find_price(endpoint, url, self.store)
        return self.tokens[estimate.seam]
