"""video -> r: score every clip with every reward model and keep the raw answers (VPO 3.3; Prompt-A-Video 3.2)."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import click

from pipeline.backends.reward import make_reward
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.progress import progress
from pipeline.runtime.speeds import count_at_once
from pipeline.runtime.stage_output import stage_output
from pipeline.runtime.stand_ins import say_if_unreadable
from pipeline.runtime.store import Store
from pipeline.scoring.clip_scores import RawScores, Scorer, count_cut_texts, score_all
from pipeline.video.clips import read_clip, shard_folder
from schemas.base import Dropped
from schemas.params_reward import RewardModelParams
from schemas.reasons import Reason
from schemas.render import Render
from schemas.reward import Reward
from schemas.stage import Ask, Declaration


def reward(
    clips: Sequence[Render],
    read: Callable[[Render], bytes],
    scorers: Sequence[Scorer],
    store: Store,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Reward | Dropped]:
    """Yield one row for each clip and reward model, or why there is none.

    `read` returns the bytes (mp4) of a row's clip; `report` hears how many scores there are.
    """
    for row, scorer, outcome in score_all(clips, read, scorers, store, report):
        if outcome.value is None:
            yield drop(row, outcome.reason or Reason.NO_SCORE, f"{scorer.name}: {outcome.detail}")
        else:
            yield make_row(row, scorer, outcome.value)


def drop(row: Render, reason: Reason, detail: str) -> Dropped:
    return Dropped(input_id=row.video_id, reason=reason, detail=detail, suite=row.suite, arm=row.arm)


def make_row(row: Render, scorer: Scorer, scores: RawScores) -> Reward | Dropped:
    """Return the row of a clip's scores, or that they are degenerate."""
    made = Reward(
        video_id=row.video_id,
        query_id=row.query_id,
        prompt_id=row.prompt_id,
        suite=row.suite,
        arm=row.arm,
        target=row.target,
        round=row.round,
        frames_hash=row.frames_hash,
        reward=scorer.name,
        scored_text=scorer.text(row),
        answers=scores["answers"],
        dims=scores["dims"],
        scored_by=scorer.by.model_copy(update={"store_key": scorer.key(row)}),
    )
    if is_constant(made):
        detail = f"{scorer.name}: all answers are the same"
        return drop(row, Reason.DEGENERATE, detail)
    return made


def is_constant(row: Reward) -> bool:
    """Tell whether a checklist says yes, or no, to everything: then it did not look."""
    return len(row.answers) > 1 and len({item.answer for item in row.answers}) == 1


def make_scorer(name: str, params: RewardModelParams) -> Scorer:
    make = partial(make_reward, params)
    backend = make()
    return Scorer(name, params, backend.by, make, count_at_once(backend))


STAGE = Declaration(reads=(Render,), row=Reward, unit="clip and reward model", asks=(Ask("reward", "reward.models"),))


@click.command("reward")
@click.argument("render")
@click.argument("out")
@option
def main(render: str, out: str, params_path: str) -> None:
    """video -> r: score every clip with every reward model."""
    params = load_params(params_path)
    say_if_unreadable(params, *params.reward.models.values())
    scorers = [make_scorer(name, model) for name, model in params.reward.models.items()]
    with stage_output(out, Reward, label="reward") as writer, progress("reward") as report:
        clips = list(writer.read(render, Render, times=len(scorers)))
        with Store() as store:
            rows = reward(clips, lambda row: read_clip(shard_folder(render), row), scorers, store, report)
            writer.write(rows, limit=params.base)
            writer.add_metrics(**count_cut_texts(clips, scorers, store))
