"""p -> video: render each prompt that passed the text check (VPO 3.3, "Video-Level Feedback").

All prompts of a query share the seed, so that their scores differ by the prompt (ours: design 8).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import click

from pipeline.backends.renderer import make_renderer
from pipeline.backends.renderer.clip_id import video_id
from pipeline.backends.teacher import make_teacher
from pipeline.runtime.fanout import fan_out
from pipeline.runtime.io import read_rows
from pipeline.runtime.paid_once import buy_missing
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.progress import progress
from pipeline.runtime.speeds import count_at_once, describe_work, speeds_folder, time_outcomes
from pipeline.runtime.stage_output import stage_output
from pipeline.video.clips import ClipStore, Packed, Place, shard_folder, write_shards
from pipeline.video.long_prompts import fitted
from schemas.base import Dropped, Prompt, content_id
from schemas.critique import Critique
from schemas.reasons import Reason
from schemas.render import Render
from schemas.rollout import Rollout
from schemas.seams import Clip, Outcome, Renderer, RenderRequest
from schemas.stage import Ask, Declaration

Fit = Callable[[Iterable[Prompt]], Iterator[tuple[Prompt, str] | Dropped]]


class Wanted(NamedTuple):
    """A clip to make: for which row, what the generator is asked for, and the index among clips of one prompt."""

    row: Prompt
    request: RenderRequest
    replicate: int = 0


def wanted(
    prompts: Iterable[Prompt],
    seed: int,
    passed: dict[str, bool] | None = None,
    fit: Fit | None = None,
    replicate: float = 0.0,
) -> Iterator[Wanted | Dropped]:
    """Yield the clips to make, or why a prompt has none.

    `passed` is the text check's verdict by prompt_id; None lets every prompt pass. `fit` gives the text to render, or
    why there is none. The clips of a share `replicate` of the queries are made twice, with other noise.
    """
    kept, lost = checked(prompts, passed)
    yield from lost
    texts: dict[tuple[str, str], Prompt] = {}
    for item in fit(kept) if fit else ((row, row.prompt) for row in kept):
        if isinstance(item, Dropped):
            yield item
            continue
        row, text = item
        if (first := texts.setdefault((row.query_id, text), row)) is not row:
            detail = f"sample {row.sample} of {row.arm} was shortened to the text of sample {first.sample}"
            yield Dropped(input_id=row.prompt_id, reason=Reason.DUPLICATE, detail=detail)
            continue
        for index in range(2 if is_replicated(row.query_id, replicate) else 1):
            yield Wanted(row, RenderRequest(text, clip_seed(seed, row.query_id, index)), index)


def checked(prompts: Iterable[Prompt], passed: dict[str, bool] | None) -> tuple[list[Prompt], list[Dropped]]:
    """Return the prompts that passed the text check, each once, and why the others are not rendered."""
    kept: dict[str, Prompt] = {}
    lost = []
    for row in prompts:
        if passed is not None and not passed.get(row.prompt_id, False):
            detail = "found flawed" if row.prompt_id in passed else "the text check has no verdict on it"
            lost.append(Dropped(input_id=row.prompt_id, reason=Reason.FAILED_TEXT_CHECK, detail=detail))
        elif (first := kept.setdefault(row.prompt_id, row)) is not row:
            detail = f"sample {row.sample} of {row.arm} repeats sample {first.sample}"
            lost.append(Dropped(input_id=row.prompt_id, reason=Reason.DUPLICATE, detail=detail))
    return list(kept.values()), lost


def is_replicated(query_id: str, share: float) -> bool:
    """Tell whether a query is among the `share` that is rendered twice: by its id, so that no pair's fate decides."""
    return int(content_id("replicate", query_id), 16) < share * 2**64


def clip_seed(seed: int, query_id: str, replicate: int = 0) -> int:
    """Return the seed of a query's clips, 0 to 2**31 - 1: the same for sibling prompts and for all arms."""
    return int(content_id("clip seed", seed, query_id, replicate), 16) % 2**31


def render(
    asked: Iterable[Wanted | Dropped],
    renderer: Renderer,
    clips: ClipStore,
    pack: Callable[[list[dict]], dict[str, Place]],
    make: Callable[[], Renderer] | None = None,
    at: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Render | Dropped]:
    """Yield the manifest row of each clip, or why there is none.

    `clips` keeps what is rendered, at once; `pack` puts the clips of such facts into shards and returns their places.
    `make` builds the renderer where it works; None works with `renderer`. `at` hears how many are done.
    """
    to_make, made = [], []
    for item in asked:
        if isinstance(item, Dropped):
            yield item
        else:
            to_make.append(item)
    for done, (item, outcome) in enumerate(rendered(to_make, renderer, clips, make or (lambda: renderer)), 1):
        at(done, len(to_make))
        if outcome.value is None:
            again = f"replicate {item.replicate}: " if item.replicate else ""
            yield Dropped(input_id=item.row.prompt_id, reason=outcome.reason, detail=again + outcome.detail)
        else:
            made.append((item, outcome.value))
    places = pack([facts for _, facts in made])
    for item, facts in made:
        yield manifest_row(item, facts, places[facts["video_id"]], renderer)


def rendered(
    asked: Iterable[Wanted], renderer: Renderer, clips: ClipStore, make: Callable[[], Renderer]
) -> Iterator[tuple[Wanted, Outcome[dict]]]:
    """Yield each with the facts of its clip, from `clips` where it was rendered before."""

    def lookup(item: Wanted) -> Outcome[dict] | None:
        facts = clips.get(video_id(renderer, item.request))
        return Outcome(value=facts) if facts else None

    def keep(item: Wanted, outcome: Outcome[Clip]) -> Outcome[dict]:
        if outcome.value is None:
            return Outcome(reason=outcome.reason, detail=outcome.detail)
        return Outcome(value=clips.put(video_id(renderer, item.request), outcome.value))

    work, folder = describe_work("render", renderer.by, renderer.settings), speeds_folder(clips.store.root)

    def buy(missing: Iterator[Wanted]) -> Iterator[Outcome[dict]]:
        made = fan_out(make, missing, lambda item: item.request, keep, spreads=renderer.needs.spreads)
        return time_outcomes(made, work, folder, count_at_once(renderer), device=renderer.needs.device)

    return buy_missing(asked, lookup, buy)


def manifest_row(item: Wanted, facts: dict, place: Place, renderer: Renderer) -> Render:
    row, request = item.row, item.request
    return Render(
        **{name: getattr(row, name) for name in Prompt.model_fields},
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


@click.command("render")
@click.argument("prompts")
@click.argument("out")
@click.option("--critique", metavar="FILE", help="Render only the prompts that this text check found aligned.")
@click.option("--replicate", is_flag=True, help="Render the clips of some queries twice (reward.replicate).")
@option
def main(prompts, out, critique, replicate, params_path):
    """p -> video: render each prompt that passed the text check."""
    params = load_params(params_path)
    clips = ClipStore()
    make = partial(make_renderer, params.render, params.world)
    renderer = make()

    def pack(facts: list[dict]) -> dict[str, Place]:
        files = [Packed(item["video_id"], clips.path(item["video_id"]), item["content_hash"]) for item in facts]
        return write_shards(shard_folder(out), files, params.render.clips_per_shard)

    with stage_output(out, Render, label="render") as writer:
        passed = {row.prompt_id: row.aligned for row in read_rows(critique, Critique)} if critique else None
        teacher = make_teacher(params.teacher, params.world) if params.render.long_prompts == "shorten" else None
        asked = list(
            wanted(
                writer.read(prompts, Rollout),
                params.base.seed,
                passed,
                fit=lambda rows: fitted(rows, renderer, params.render, teacher),
                replicate=params.reward.replicate if replicate else 0.0,
            )
        )
        writer.add_units(sum(item.replicate > 0 for item in asked if isinstance(item, Wanted)))
        with progress("render") as at:
            rows = render(asked, renderer, clips, pack, make, at)
            writer.write(rows, tally={"truncated": lambda row: row.truncated, "replicates": lambda row: row.replicate})
