"""video -> r: score every clip with every reward model and keep the raw answers (VPO 3.3; Prompt-A-Video 3.2)."""

from collections.abc import Callable, Iterable, Iterator
from itertools import tee

import click

from pipeline.backends import Outcome
from pipeline.backends.reward import Reward as RewardBackend
from pipeline.backends.reward import ScoreRequest, make_reward
from pipeline.clips import read_clip, shard_folder
from pipeline.io import stage_output
from pipeline.paid_once import paid_once
from pipeline.params import load_params, option
from pipeline.store import Store, store_key
from schemas.base import Dropped
from schemas.params import RewardModel
from schemas.reasons import Reason
from schemas.render import Render
from schemas.reward import Reward


def reward(
    clips: Iterable[Render],
    read: Callable[[Render], bytes],
    models: dict[str, tuple[RewardBackend, RewardModel]],
    store: Store,
) -> Iterator[Reward | Dropped]:
    """Yield one row for each clip and reward model, or why there is none.

    `read` returns the bytes of a row's clip; `models` maps a name to the backend and its params. The models go through
    the clips side by side, so that a clip can be decoded once for all.
    """
    streams = tee(clips, len(models))
    scored = [
        scored_by(name, rows, read, backend, params, store)
        for rows, (name, (backend, params)) in zip(streams, models.items(), strict=True)
    ]
    for items in zip(*scored, strict=True):
        yield from items


def scored_by(
    name: str,
    rows: Iterable[Render],
    read: Callable[[Render], bytes],
    backend: RewardBackend,
    params: RewardModel,
    store: Store,
) -> Iterator[Reward | Dropped]:
    """Yield what one reward model says about each clip, from `store` where it was asked before."""

    def text(row: Render) -> str:
        return row.prompt if params.scored_text == "prompt" else row.query

    def key(row: Render) -> str:
        by = backend.by
        depends = {"backend": by.backend, "model": by.model, "revision": by.revision}
        return store_key("score", frames_hash=row.frames_hash, scored_text=text(row), **depends)

    def lookup(row: Render) -> Outcome[dict] | None:
        answer = store.get(key(row))
        return Outcome(value=answer) if answer else None

    def buy(missing: Iterator[Render]) -> Iterator[Outcome[dict]]:
        asked, named = tee(missing)
        outcomes = backend.map(ScoreRequest(read(row), text(row)) for row in asked)
        for row, outcome in zip(named, outcomes, strict=True):
            if outcome.value is None:
                yield Outcome(reason=outcome.reason, detail=outcome.detail)
                continue
            answer = {
                "answers": [item.model_dump() for item in outcome.value.answers],
                "dims": [item.model_dump() for item in outcome.value.dims],
            }
            store.put(key(row), "score", {"frames_hash": row.frames_hash, "text": text(row)}, answer)
            # the first answer to a key stays, also when a model would say something else the second time
            yield lookup(row)

    for row, outcome in paid_once(rows, lookup, buy):
        if outcome.value is None:
            yield Dropped(input_id=row.video_id, reason=outcome.reason, detail=f"{name}: {outcome.detail}")
            continue
        scored = Reward(
            video_id=row.video_id,
            query_id=row.query_id,
            prompt_id=row.prompt_id,
            frames_hash=row.frames_hash,
            reward=name,
            scored_text=text(row),
            answers=outcome.value["answers"],
            dims=outcome.value["dims"],
            scored_by=backend.by.model_copy(update={"store_key": key(row)}),
        )
        if constant(scored):
            yield Dropped(input_id=row.video_id, reason=Reason.DEGENERATE, detail=f"{name}: all answers are the same")
        else:
            yield scored


def constant(row: Reward) -> bool:
    """Tell whether a checklist says yes, or no, to everything: then it did not look."""
    return len(row.answers) > 1 and len({item.answer for item in row.answers}) == 1


@click.command("reward")
@click.argument("render")
@click.argument("out")
@option
def main(render, out, params_path):
    """video -> r: score every clip with every reward model."""
    params = load_params(params_path)
    models = {name: (make_reward(model, params.world), model) for name, model in params.reward.models.items()}
    with stage_output(out, Reward, label="reward") as writer:
        clips = writer.read(render, Render, times=len(models))
        writer.write(reward(clips, lambda row: read_clip(shard_folder(render), row), models, Store()))
