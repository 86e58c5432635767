"""p -> video: render each prompt that passed the text check (VPO 3.3, "Video-Level Feedback").

All prompts of a query share the seed, so that their scores differ by the prompt (ours: design 8).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import tee

import click

from pipeline.backends import Outcome
from pipeline.backends.renderer import Renderer, RenderRequest, make_renderer, video_id
from pipeline.clips import ClipStore, Place, shard_folder, write_shards
from pipeline.io import read_rows, stage_output
from pipeline.paid_once import paid_once
from pipeline.params import load_params, option
from pipeline.progress import progress
from schemas.base import Dropped, Prompt, content_id
from schemas.critique import Critique
from schemas.reasons import Reason
from schemas.render import Render
from schemas.rollout import Rollout


def render(
    prompts: Iterable[Prompt],
    renderer: Renderer,
    clips: ClipStore,
    pack: Callable[[list[str]], dict[str, Place]],
    seed: int,
    passed: dict[str, bool] | None = None,
    at: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Render | Dropped]:
    """Yield the manifest row of each prompt's clip, or why there is none.

    `clips` keeps what is rendered, at once; `pack` puts the clips of such ids into shards and returns their places.
    `passed` is the text check's verdict by prompt_id; None renders every prompt. `at` hears how many clips are done.
    """
    wanted: dict[str, Prompt] = {}
    for row in prompts:
        if passed is not None and not passed.get(row.prompt_id, False):
            detail = "found flawed" if row.prompt_id in passed else "the text check has no verdict on it"
            yield Dropped(input_id=row.prompt_id, reason=Reason.FAILED_TEXT_CHECK, detail=detail)
        elif (first := wanted.setdefault(row.prompt_id, row)) is not row:
            detail = f"sample {row.sample} of {row.arm} repeats sample {first.sample}"
            yield Dropped(input_id=row.prompt_id, reason=Reason.DUPLICATE, detail=detail)
    made = []
    for done, (row, outcome) in enumerate(rendered(wanted.values(), renderer, clips, seed), 1):
        at(done, len(wanted))
        if outcome.value is None:
            yield Dropped(input_id=row.prompt_id, reason=outcome.reason, detail=outcome.detail)
        else:
            made.append((row, outcome.value))
    places = pack([facts["video_id"] for _, facts in made])
    for row, facts in made:
        yield manifest_row(row, facts, places[facts["video_id"]], renderer, seed)


def rendered(
    rows: Iterable[Prompt], renderer: Renderer, clips: ClipStore, seed: int
) -> Iterator[tuple[Prompt, Outcome[dict]]]:
    """Yield each row with the facts of its clip, from `clips` where it was rendered before."""

    def name(row: Prompt) -> str:
        return video_id(renderer, request(row, seed))

    def lookup(row: Prompt) -> Outcome[dict] | None:
        facts = clips.get(name(row))
        return Outcome(value=facts) if facts else None

    def buy(missing: Iterator[Prompt]) -> Iterator[Outcome[dict]]:
        asked, named = tee(missing)
        outcomes = renderer.map(request(row, seed) for row in asked)
        for row, outcome in zip(named, outcomes, strict=True):
            if outcome.value is None:
                yield Outcome(reason=outcome.reason, detail=outcome.detail)
            else:
                yield Outcome(value=clips.put(name(row), outcome.value))

    return paid_once(rows, lookup, buy)


def request(row: Prompt, seed: int) -> RenderRequest:
    return RenderRequest(row.prompt, clip_seed(seed, row.query_id))


def clip_seed(seed: int, query_id: str, replicate: int = 0) -> int:
    """Return the seed of a query's clips, 0 to 2**31 - 1: the same for sibling prompts and for all arms."""
    return int(content_id("clip seed", seed, query_id, replicate), 16) % 2**31


def manifest_row(row: Prompt, facts: dict, place: Place, renderer: Renderer, seed: int) -> Render:
    return Render(
        **{name: getattr(row, name) for name in Prompt.model_fields},
        video_id=facts["video_id"],
        settings=json.dumps(renderer.settings, sort_keys=True, ensure_ascii=False),
        seed=clip_seed(seed, row.query_id),
        frames_hash=facts["frames_hash"],
        shard=place.shard,
        offset=place.offset,
        size=place.size,
        n_frames=facts["n_frames"],
        height=facts["height"],
        width=facts["width"],
        frames_per_second=facts["frames_per_second"],
        n_tokens=facts["n_tokens"],
        truncated=facts["truncated"],
        rendered_by=renderer.by.model_copy(update={"store_key": facts["video_id"]}),
    )


@click.command("render")
@click.argument("prompts")
@click.argument("out")
@click.option("--critique", metavar="FILE", help="Render only the prompts that this text check found aligned.")
@option
def main(prompts, out, critique, params_path):
    """p -> video: render each prompt that passed the text check."""
    params = load_params(params_path)
    clips = ClipStore()

    def pack(ids: list[str]) -> dict[str, Place]:
        files = ((name, clips.path(name)) for name in ids)
        return write_shards(shard_folder(out), files, params.render.clips_per_shard)

    with stage_output(out, Render, label="render") as writer:
        passed = {row.prompt_id: row.aligned for row in read_rows(critique, Critique)} if critique else None
        renderer = make_renderer(params.render, params.world)
        with progress("render") as at:
            writer.write(render(writer.read(prompts, Rollout), renderer, clips, pack, params.base.seed, passed, at))
