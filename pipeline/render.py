"""p -> video: render each prompt that passed the text check (VPO 3.3, "Video-Level Feedback").

All prompts of a query share the seed, so that their scores differ by the prompt (ours). What the check refused is
rendered in a lane of its own, where an arm learns from all rollouts (S1 4.2 does not say whether its ablation does).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import click

from pipeline.backends.renderer import make_renderer
from pipeline.backends.teacher import make_teacher
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.progress import progress
from pipeline.runtime.stage_output import Tally, stage_output
from pipeline.runtime.stand_ins import say_if_unreadable
from pipeline.video.clips import ClipStore, Packed, Place, shard_folder, write_shards
from pipeline.video.long_prompts import fit_prompts
from pipeline.video.rendering import ClipRequest, Facts, Rendering, clip_seed, render_clips
from schemas.base import Dropped, Prompt, content_id
from schemas.critique import Critique
from schemas.params import Params
from schemas.reasons import Reason
from schemas.render import Render
from schemas.rollout import Rollout
from schemas.seams import Renderer, RenderRequest
from schemas.stage import Ask, Declaration

Fit = Callable[[Iterable[Prompt]], Iterator[tuple[Prompt, str] | Dropped]]


def plan_clips(
    prompts: Iterable[Prompt],
    seed: int,
    passed: dict[str, bool] | None = None,
    fit: Fit | None = None,
    replicate: float = 0.0,
    refused: bool = False,
) -> Iterator[ClipRequest | Dropped]:
    """Yield the clips to make, or why a prompt has none.

    `passed` and `refused` as in check_prompts. `fit` gives the text to render, or why there is none. The clips of a
    share `replicate` of the queries are made twice, with other noise.
    """
    kept, lost = check_prompts(prompts, passed, refused)
    yield from lost
    texts: dict[tuple[str, str], Prompt] = {}
    for item in fit(kept) if fit else ((row, row.prompt) for row in kept):
        if isinstance(item, Dropped):
            yield item
            continue
        row, text = item
        if (first := texts.setdefault((row.query_id, text), row)) is not row:
            detail = f"sample {row.sample} of {row.arm} was shortened to the text of sample {first.sample}"
            yield drop(row, Reason.DUPLICATE, detail)
            continue
        for index in range(2 if is_replicated(row.query_id, replicate) else 1):
            yield ClipRequest(row, RenderRequest(text, clip_seed(seed, row.query_id, index)), index)


def check_prompts(
    prompts: Iterable[Prompt], passed: dict[str, bool] | None, refused: bool = False
) -> tuple[list[Prompt], list[Dropped]]:
    """Return the prompts that passed the text check, each once, and why the others are not rendered.

    `passed` is the verdict by prompt_id; None lets every prompt pass. With `refused` it is the others that are
    returned: those found flawed, and those without a verdict.
    """
    kept: dict[str, Prompt] = {}
    lost = []
    for row in prompts:
        if passed is not None and passed.get(row.prompt_id, False) is refused:
            lost.append(drop(row, *why_left_out(row, passed)))
        elif (first := kept.setdefault(row.prompt_id, row)) is not row:
            detail = f"sample {row.sample} of {row.arm} repeats sample {first.sample}"
            lost.append(drop(row, Reason.DUPLICATE, detail))
    return list(kept.values()), lost


def why_left_out(row: Prompt, passed: dict[str, bool]) -> tuple[Reason, str]:
    """Return the reason and the detail of a prompt that the text check leaves to the other lane, or to none."""
    if passed.get(row.prompt_id):
        return Reason.PASSED_TEXT_CHECK, "rendered in the lane of those that passed"
    return (
        Reason.FAILED_TEXT_CHECK,
        "found flawed" if row.prompt_id in passed else "the text check has no verdict on it",
    )


def drop(row: Prompt, reason: Reason, detail: str) -> Dropped:
    return Dropped(input_id=row.prompt_id, reason=reason, detail=detail, suite=row.suite, arm=row.arm)


def is_replicated(query_id: str, share: float) -> bool:
    """Tell whether a query is among the `share` that is rendered twice: by its id, so that no pair's fate decides."""
    return int(content_id("replicate", query_id), 16) < share * 2**64


def render(
    requests: Iterable[ClipRequest | Dropped],
    rendering: Rendering,
    clips: ClipStore,
    pack: Callable[[list[Facts]], dict[str, Place]],
    target: str | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Render | Dropped]:
    """Yield the manifest row of each clip, or why there is none.

    `clips` keeps what is rendered, at once; `pack` puts the clips of such facts into shards and returns their places.
    `target` is the generator's name in the rows. `report` hears how many are done.
    """
    to_make: list[ClipRequest] = []
    made: list[tuple[ClipRequest, Facts]] = []
    for item in requests:
        if isinstance(item, Dropped):
            yield item
        else:
            to_make.append(item)
    for done, (request, outcome) in enumerate(render_clips(to_make, rendering, clips), 1):
        report(done, len(to_make))
        if outcome.value is None:
            again = f"replicate {request.replicate}: " if request.replicate else ""
            yield drop(request.row, outcome.reason or Reason.RENDER_FAILED, again + outcome.detail)
        else:
            made.append((request, outcome.value))
    places = pack([facts for _, facts in made])
    for request, facts in made:
        yield make_row(request, facts, places[facts["video_id"]], rendering.renderer, target)


def make_row(item: ClipRequest, facts: Facts, place: Place, renderer: Renderer, target: str | None) -> Render:
    row, request = item.row, item.request
    return Render(
        **{name: getattr(row, name) for name in Prompt.model_fields if name != "target"},
        target=target,
        video_id=facts["video_id"],
        settings=json.dumps(renderer.settings, sort_keys=True, ensure_ascii=False),
        seed=request.seed,
        replicate=item.replicate,
        frames_hash=facts["frames_hash"],
        clip_hash=facts["content_hash"][:32],
        shard=place.shard,
        offset=place.offset,
        size=place.size,
        n_frames=facts["n_frames"],
        height=facts["height"],
        width=facts["width"],
        frames_per_second=facts["frames_per_second"],
        n_tokens=facts["n_tokens"],
        truncated=facts["truncated"],
        rendered_text=None if request.prompt == row.prompt else request.prompt,
        rendered_by=renderer.by.model_copy(update={"store_key": facts["video_id"]}),
    )


STAGE = Declaration(
    reads=(Rollout, Critique),
    row=Render,
    unit="prompt",
    asks=(
        Ask("renderer", "render"),
        Ask("teacher", "teacher", when=lambda params, options: params.render.long_prompts == "shorten"),
    ),
)


def pack_clips(facts: list[Facts], clips: ClipStore, folder: Path, clips_per_shard: int) -> dict[str, Place]:
    """Put clips of the store into tar shards; return each one's place by video_id."""
    files = [Packed(item["video_id"], clips.path(item["video_id"]), item["content_hash"]) for item in facts]
    return write_shards(folder, files, clips_per_shard)


def make_rendering(params: Params) -> Rendering:
    """Return the renderer that params.yaml names, and how a worker builds its own."""
    make = partial(make_renderer, params.render, params.world)
    return Rendering(make(), make)


TALLY: Tally[Render] = {
    "truncated": lambda row: row.truncated,
    "replicates": lambda row: row.replicate,
}


@click.command("render")
@click.argument("prompts")
@click.argument("out")
@click.option("--critique", metavar="FILE", help="Render only the prompts that this text check found aligned.")
@click.option("--refused", is_flag=True, help="Render the others instead: those that --critique did not find aligned.")
@click.option("--replicate", is_flag=True, help="Render the clips of some queries twice (reward.replicate).")
@option
def main(prompts: str, out: str, critique: str | None, refused: bool, replicate: bool, params_path: str) -> None:
    """p -> video: render each prompt that passed the text check."""
    if refused and critique is None:
        raise click.UsageError("--refused goes with --critique FILE, which says whom the text check refused")
    params = load_params(params_path)
    say_if_unreadable(params, params.render)
    clips = ClipStore()
    rendering = make_rendering(params)
    teacher = make_teacher(params.teacher, params.world) if params.render.long_prompts == "shorten" else None
    with stage_output(out, Render, label="render") as writer:
        passed = {row.prompt_id: row.aligned for row in read_rows(critique, Critique)} if critique else None
        requests = list(
            plan_clips(
                writer.read(prompts, Rollout),
                params.base.seed,
                passed,
                fit=lambda rows: fit_prompts(rows, rendering.renderer, params.render, teacher),
                replicate=params.reward.replicate if replicate else 0.0,
                refused=refused,
            )
        )
        writer.add_units(sum(item.replicate > 0 for item in requests if isinstance(item, ClipRequest)))
        pack = partial(pack_clips, clips=clips, folder=shard_folder(out), clips_per_shard=params.render.clips_per_shard)
        with progress("render") as report:
            writer.write(render(requests, rendering, clips, pack, params.dpo.target, report), TALLY, limit=params.base)
