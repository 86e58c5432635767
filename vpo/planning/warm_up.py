"""The first clips that are missing, made and scored before the rest, so that a plan knows how long each takes."""

from functools import partial
from typing import cast

import click

from pipeline.backends.teacher import make_teacher
from pipeline.evaluation.prompt_sources import copy_queries
from pipeline.render import make_rendering, plan_clips, render
from pipeline.reward import make_scorer
from pipeline.runtime.io import DataError
from pipeline.runtime.terminal import make_visible
from pipeline.scoring.clip_scores import score_clips
from pipeline.video.clips import ClipStore, Place
from pipeline.video.long_prompts import fit_prompts
from pipeline.video.rendering import Rendering
from schemas.base import Dropped, Prompt
from schemas.render import Render
from schemas.seams import Renderer
from vpo.planning.estimate import Planner
from vpo.planning.gpu import GpuPlanner
from vpo.planning.gpu_look import ClipNames, Lane, Looker


def warm_up(planner: Planner, n: int) -> None:
    """Render `n` clips that stages would render and score them with every reward model, all kept in the store.

    They are the first that miss in the lane that is trained on; where its rollouts are not there, test queries as
    they are, which the arm of untouched queries needs. Raises DataError where there is neither, or no clip comes.
    """
    params, store = planner.params, planner.store
    lane = trained_lane(planner)
    clips = ClipStore(store)
    rendering = make_rendering(params)
    teacher = make_teacher(params.teacher, params.world) if params.render.long_prompts == "shorten" else None

    def pack(facts: list[dict]) -> dict[str, Place]:
        return {item["video_id"]: Place("", 0, clips.path(item["video_id"]).stat().st_size) for item in facts}

    fit = partial(fit_prompts, renderer=rendering.renderer, params=params.render, teacher=teacher)
    requests = plan_clips(lane.missing[:n], params.base.seed, fit=fit)
    items = list(render(requests, rendering, clips, pack))
    rows = [item for item in items if isinstance(item, Render)]
    lost = [item for item in items if isinstance(item, Dropped)]
    click.echo(f"  warm-up: {len(rows)} clips rendered" if rows or lost else "  warm-up: no clip is missing", err=True)
    for item in lost:
        click.echo(make_visible(f"  warm-up: no clip of {item.input_id}: {item.reason} {item.detail}"), err=True)
    if lost and not rows:
        raise DataError(f"warm-up: none of {len(lost)} clips could be made: {lost[0].reason} {lost[0].detail}")
    for name, model in params.reward.models.items():
        scorer = make_scorer(name, model)
        # clips of equal frames share a score
        distinct = {scorer.key(row): row for row in (*rows, *lane.rows)}
        unscored = [row for key, row in distinct.items() if store.get(key) is None][:n]
        done = 0
        for row, outcome in score_clips(unscored, lambda row: clips.path(row.video_id).read_bytes(), scorer, store):
            done += outcome.reason is None
            if outcome.reason is not None:
                click.echo(
                    make_visible(f"  warm-up: {name} on {row.video_id}: {outcome.reason} {outcome.detail}"), err=True
                )
        click.echo(f"  warm-up: {name} scored {done} clips", err=True)


def trained_lane(planner: Planner) -> Lane:
    """Return what the lane of the pairs misses and has, else the test queries as prompts. Raises DataError."""
    gpu = GpuPlanner(planner)
    gpu.rows()
    for stage in planner.stages.values():
        lane = gpu.lanes.get(stage.name)
        if "--critique" in stage.options and lane and (lane.missing or lane.rows):
            return lane
    paths = [stage.paths[0] for stage in planner.graph.running("rollout", "eval")][:1]
    queries = [row for path in paths if path in planner.made for row in planner.made[path].present]
    if not queries:
        raise DataError(
            f"--warm-up needs prompts: neither {' nor '.join(['rollouts', *paths])} are there; run `dvc repro queries`"
        )
    prompts: list[Prompt] = list(copy_queries(queries, "original"))
    return list_unrendered(gpu, prompts)


def list_unrendered(gpu: GpuPlanner, prompts: list[Prompt]) -> Lane:
    """Return which of the prompts have no clip yet, and the rows of those that have one."""
    looker, names = Looker(gpu.renderer, set()), ClipNames(gpu.store)
    requests = plan_clips(prompts, gpu.params.base.seed)
    items = list(render(requests, Rendering(gpu.renderer, lambda: cast("Renderer", looker)), names, names.places))
    missing = {item.input_id for item in items if isinstance(item, Dropped)}
    return Lane(
        [row for row in prompts if row.prompt_id in missing], [item for item in items if isinstance(item, Render)]
    )
