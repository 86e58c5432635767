"""What rendering, scoring and training would take of a GPU: the stages look over what is there, the rest is counted."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import Any, cast

from pipeline.backends.renderer import make_renderer
from pipeline.backends.renderer.diffusers import Diffusers
from pipeline.backends.renderer.facts import Facts, find_facts
from pipeline.llm.calls.expected_tokens import TOKENS_PER_CHARACTER
from pipeline.render import STAGE as RENDER
from pipeline.render import plan_clips, render
from pipeline.reward import STAGE as REWARD
from pipeline.reward import make_scorer
from pipeline.rollout import STAGE as ROLLOUT
from pipeline.runtime.io import DataError, read_rows
from pipeline.runtime.speeds import HOST, describe_work, speeds_folder
from pipeline.scoring.questions import read_questions
from pipeline.video.rendering import Rendering
from schemas.base import Dropped, Prompt
from schemas.critique import Critique
from schemas.params_render import DiffusersRenderParams
from schemas.params_reward import ChecklistParams, RewardModelParams
from schemas.render import Render
from schemas.rollout import Rollout
from schemas.seams import Renderer
from schemas.stage import Declaration
from train.base_model import STAGE as BASE_MODEL
from train.dpo import STAGE as DPO
from train.sft import STAGE as SFT
from vpo.planning.declarations import asks_of, declaration_of
from vpo.planning.estimate import Planner
from vpo.planning.gpu_cost import Cost, GpuRow, cost_of_facts, idle, memory, read_cost, sampling, scoring
from vpo.planning.gpu_look import ELSEWHERE, NOT_RENDERED, ClipNames, Clips, Lane, Looker, Unmade
from vpo.planning.gpu_train import train
from vpo.planning.rows import TYPICAL, UNKNOWN, Rows
from vpo.planning.shares import LEAST_SEEN
from vpo.unroll import Stage

QUESTIONS = 29
"""of VisionReward, those that weigh something: as many as are asked where the file is not there yet"""


class GpuPlanner:
    """Goes through the stages in order, behind a Planner that has been through the asking ones."""

    def __init__(self, planner: Planner):
        self.planner, self.params, self.store = planner, planner.params, planner.store
        self.folder = speeds_folder(planner.store.root)
        self.planned: set[str] = set()
        self.clips: dict[str, Clips] = {}
        self.lanes: dict[str, Lane] = {}
        self.sizes: list[int] = []
        self.fault = ""
        self.renderer: Renderer
        try:
            self.renderer = make_renderer(self.params.render, self.params.world)
        except (DataError, ImportError) as fault:
            self.renderer, self.fault = Unmade(self.params.render), str(fault)

    def rows(self) -> list[GpuRow]:
        """Return a row for each rendering and training stage, and one for each reward model of a scoring stage."""
        planner, rows = self.planner, list[GpuRow]()
        trained = partial(train, planner, self.folder)
        counters: dict[Declaration, Callable[[Stage], list[GpuRow]]] = {
            RENDER: self.render, REWARD: self.reward, ROLLOUT: self.sample, SFT: trained, DPO: trained,
            BASE_MODEL: lambda stage: [],
        }  # fmt: skip
        for stage in planner.graph.ordered:
            declaration = declaration_of(stage)
            if declaration in counters:
                rows += counters[declaration](stage)
            else:
                rows += self.uncounted(stage)
        self.weigh(rows)
        return rows

    def uncounted(self, stage: Stage) -> list[GpuRow]:
        """Return rows without a number for what a stage asks of a GPU and no counter is for; [] where it asks none."""
        seams = [seam for seam in ("renderer", "reward") if asks_of(stage, self.params, seam)]
        seams += ["training"] * (stage.package == "train")
        if not seams or self.planner.is_idle(stage):
            return []
        why = "no plan can count what this stage does"
        rows = [GpuRow(stage.name, seam, "", "", UNKNOWN, UNKNOWN, UNKNOWN, source=why) for seam in seams]
        for row in rows:
            row.gpu_hours = row.cpu_hours = row.usd = None
        return rows

    def render(self, stage: Stage) -> list[GpuRow]:
        """Return the row of a rendering stage; its unit is a clip."""
        params, out = self.params.render, stage.paths[-1]
        row = GpuRow(stage.name, "clips", params.backend, self.renderer.by.model or params.backend)
        if self.planner.is_idle(stage):
            self.clips[out] = Clips(list(read_rows(out, Render)))
            self.sizes += [item.size for item in self.clips[out].rows]
            return [idle(row, len(self.clips[out]))]
        prompts = self.planner.rows(stage.paths[-2], Rollout)
        uncounted = Rows((), UNKNOWN, "nobody can count the verdicts")
        checked = self.planner.made.get(stage.paths[0], uncounted) if "--critique" in stage.options else None
        replicate = self.params.reward.replicate if "--replicate" in stage.options else 0.0
        looker, names = Looker(self.renderer, self.planned), ClipNames(self.store)
        written = [item for item in prompts.present if isinstance(item, Prompt)]
        passed = None if checked is None else {item.prompt_id: item.aligned for item in verdicts(checked)}
        refused = "--refused" in stage.options
        requests = plan_clips(written, self.params.base.seed, passed, replicate=replicate, refused=refused)
        items = list(render(requests, Rendering(self.renderer, lambda: cast("Renderer", looker)), names, names.places))
        there = [item for item in items if isinstance(item, Render)]
        lost = [item for item in items if isinstance(item, Dropped)]
        missing = {item.input_id for item in lost if item.detail == NOT_RENDERED}
        later = prompts.unknown if checked is None else checked.unknown
        if later:
            later *= self.share(stage, row, checked) * (1 + replicate)
        row.rows_from = prompts.source
        row.wanted = len(there) + len(looker.coming) + later
        row.in_store = len(there) + sum(item.detail.endswith(ELSEWHERE) for item in lost)
        row.to_make = row.wanted - row.in_store
        self.clips[out] = Clips(there, looker.coming, later)
        firsts = {item.prompt_id: item for item in reversed(written) if item.prompt_id in missing}
        self.lanes[stage.name] = Lane(list(reversed(firsts.values())), there)
        self.sizes += [item.size for item in there]
        if self.fault:
            row.in_store = None
            row.notes.append(f"the store cannot be asked, all clips are counted: {self.fault}")
        if params.long_prompts != "truncate":
            row.notes.append(f"render.long_prompts {params.long_prompts}: no prompt's tokens are counted for a plan")
        if params.needs.paid_by == "clip":
            row.usd = None if params.needs.usd_per_unit is None else row.to_make * params.needs.usd_per_unit
        return [row.costs(self.cost_of_a_clip(row), on_cpu=params.needs.device == "cpu")]

    def cost_of_a_clip(self, row: GpuRow) -> Cost | None:
        """Return what a clip costs, and set the memory that its model's authors name."""
        params, renderer = self.params.render, self.renderer
        cost = read_cost(self.folder, describe_work("render", renderer.by, renderer.settings))
        if isinstance(params, DiffusersRenderParams):
            facts = find_facts(params.model) if self.fault else its_own(renderer)
            row.gpu_gigabytes, assumed = memory(params, facts)
            row.notes += assumed
            cost = cost or cost_of_facts(params, facts, {} if self.fault else renderer.settings)
        elif params.needs.device == "host":
            row.gpu_gigabytes = 0.0
            cost = cost or Cost(None, "at its host: no GPU of yours", HOST)
        return cost

    def share(self, stage: Stage, row: GpuRow, checked: Rows | None) -> float:
        """Return which share of prompts that are not known yet will be rendered."""
        counts = self.planner.metrics(stage)
        units = counts.get("units_in", 0)
        again = counts["dropped"].get("duplicate", 0) / units if units >= LEAST_SEEN else 0.0
        if again:
            row.notes.append(f"{again:.0%} of the prompts repeat another: as in the last run")
        if checked is None:
            return 1 - again
        flawed, whence = self.planner.estimate_flawed(stage, verdicts(checked))
        if "--refused" in stage.options:
            row.notes.append(f"{100 * flawed:.3g}% of the prompts are refused by the text check: {whence}")
            return max(flawed - again, 0.0)
        row.notes.append(f"{100 * (1 - flawed):.3g}% of the prompts pass the text check: {whence}")
        return max(1 - flawed - again, 0.0)

    def reward(self, stage: Stage) -> list[GpuRow]:
        """Return the rows of a scoring stage; their unit is a score."""
        clips, rows = self.clips.get(stage.paths[0], Clips(unknown=UNKNOWN)), list[GpuRow]()
        still = self.planner.is_idle(stage)
        for name, model in self.params.reward.models.items():
            row = GpuRow(stage.name, "scores", model.backend, name, len(clips) + clips.unknown)
            if still:
                rows.append(idle(row, row.wanted))
                continue
            row.to_make, work = clips.unknown, None
            try:
                scorer = make_scorer(name, model)
                work = scorer.work
                keys = [scorer.key(item) for item in clips.rows]
            except (DataError, ImportError) as fault:
                keys = [f"{name} {item.video_id}" for item in clips.rows]
                row.notes.append(f"the store cannot be asked, all scores are counted: {fault}")
            stored = self.store.get_many(keys) if work else [None] * len(keys)
            self.planned |= {key for key, answer in zip(keys, stored, strict=True) if answer}
            # of a clip to come nothing but its id is known: its score's key stands on its frames
            for key in [*keys, *(f"{name} {video_id}" for video_id in clips.coming)]:
                row.to_make += key not in self.planned
                self.planned.add(key)
            row.in_store = row.wanted - row.to_make if work else None
            cost = read_cost(self.folder, work) or self.assume_score(model)
            rows.append(row.costs(cost, on_cpu=model.needs.device == "cpu"))
        return rows

    def assume_score(self, model: RewardModelParams) -> Cost | None:
        """Return what a score is assumed to cost, by what the backend says that it reads."""
        questions = 0
        if isinstance(model, ChecklistParams):
            try:
                questions = len(read_questions(model.questions))
            except DataError:
                questions = QUESTIONS
        weights = model.needs.weights
        return scoring(model.needs.reading, weights.model if weights else "", questions)

    def sample(self, stage: Stage) -> list[GpuRow]:
        """Return the row of a stage in which the policy writes on a GPU of ours; its unit is a prompt."""
        planner, params = self.planner, self.params
        name, weights = stage.word_after("--arm"), params.base_model.needs.weights
        arm = params.evaluate.arms.get(name or "")
        here = params.policy.needs.of_base_model and not params.base_model.needs.stand_in
        if not here or (name and (arm is None or arm.prompts != "policy")):
            return []
        row = GpuRow(stage.name, "prompts", params.policy.backend, weights.model if weights else "")
        prompts = planner.rows(stage.paths[-1], Rollout)
        count = len(prompts.present) + prompts.unknown
        if planner.is_idle(stage):
            return [idle(row, count)]
        row.wanted = row.to_make = count
        row.in_store, row.rows_from = None, prompts.source
        how = params.optimize if name else params.rollout
        tokens = min(how.max_new_tokens, TYPICAL["prompt"] * TOKENS_PER_CHARACTER)
        return [row.costs(sampling(tokens, getattr(params.policy, "batch_size", 1)), on_cpu=False)]

    def weigh(self, rows: list[GpuRow]) -> None:
        """Set the gigabytes of clips to make, by the mean of those that are there."""
        if not self.sizes:
            return
        mean = fmean(self.sizes)
        for row in rows:
            if row.unit == "clips":
                row.disk_gigabytes = 2 * row.to_make * mean / 1e9
                if row.to_make:
                    row.notes.append(
                        f"{mean / 1e3:,.0f} kB a clip, in the store and in a shard: the mean of the store's"
                    )


def verdicts(rows: Rows) -> list[Critique]:
    """Return the verdicts that are known."""
    return [row for row in rows.present if isinstance(row, Critique)]


def its_own(renderer: Renderer) -> Facts | None:
    """Return the facts of a diffusers model, None where it has but its family's: another size takes another time."""
    if not isinstance(renderer, Diffusers):
        return None
    facts, config = renderer.resolved.facts, renderer.configs.transformer | renderer.configs.index
    same_size = bool(facts.size_by) and all(config.get(name) == value for name, value in facts.size_by.items())
    return facts if same_size or find_facts(renderer.model) else None


def total(rows: Sequence[GpuRow]) -> dict[str, Any]:
    """Return the sums, of GPU-hours and US dollars with the stages where they are unknown, else None where one is."""
    clips = [row for row in rows if row.unit == "clips" and row.to_make]
    return {
        "gpu_hours": sum(row.gpu_hours or 0.0 for row in rows),
        "usd": sum(row.usd or 0.0 for row in rows),
        "unknown": [f"{row.stage} {row.model}" for row in rows if None in (row.gpu_hours, row.usd)],
        "cpu_hours": all_or_none([row.cpu_hours for row in rows]),
        "disk_gigabytes": all_or_none([row.disk_gigabytes for row in clips]),
    }


def all_or_none(numbers: Sequence[float | None]) -> float | None:
    """Return the sum, None where one of the numbers is unknown."""
    summands = [number for number in numbers if number is not None]
    return sum(summands) if len(summands) == len(numbers) else None
