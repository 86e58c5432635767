"""video -> r: score every clip with every reward model and keep the raw answers (VPO 3.3; Prompt-A-Video 3.2)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import click

from pipeline.backends.reward import make_reward
from pipeline.backends.reward.soundness import refuse_unsound
from pipeline.runtime.fanout import fan_out
from pipeline.runtime.paid_once import buy_missing
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.progress import progress
from pipeline.runtime.speeds import Work, count_at_once, describe_work, speeds_folder, time_outcomes
from pipeline.runtime.stage_output import stage_output
from pipeline.runtime.store import Store, store_key
from pipeline.video.clips import read_clip, shard_folder
from schemas.base import Dropped, Provenance
from schemas.params_reward import RewardModelParams
from schemas.reasons import Reason
from schemas.render import Render
from schemas.reward import Reward
from schemas.seams import Outcome, RewardModel, ScoreRequest, Scores
from schemas.stage import Ask, Declaration


@dataclass(frozen=True)
class Scorer:
    """A reward model of params.yaml: its name and params, who it is, and how to build it where it works."""

    name: str
    params: RewardModelParams
    by: Provenance
    make: Callable[[], RewardModel]
    at_once: int = 1

    @property
    def work(self) -> Work:
        return describe_work("score", self.by, [])

    def text(self, row: Render) -> str:
        return (row.rendered_text or row.prompt) if self.params.scored_text == "prompt" else row.query

    def key(self, row: Render) -> str:
        by = {"backend": self.by.backend, "model": self.by.model, "revision": self.by.revision}
        # which frames are looked at can hang on their rate (one a second)
        seen = {"frames_hash": row.frames_hash, "frames_per_second": row.frames_per_second}
        return store_key("score", **seen, scored_text=self.text(row), **by)


def reward(
    clips: Sequence[Render],
    read: Callable[[Render], bytes],
    scorers: Sequence[Scorer],
    store: Store,
    at: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Reward | Dropped]:
    """Yield one row for each clip and reward model, or why there is none.

    `read` returns the bytes of a row's clip. One model after the other goes through all clips, since two large ones
    seldom fit into one GPU; `at` hears how many scores there are.
    """
    faults: dict[str, Outcome] = {}
    for place, scorer in enumerate(scorers):
        asked: dict[str, Render] = {}
        for row in clips:  # two prompts can give the same frames: one score for both
            asked.setdefault(scorer.key(row), row)
        for done, (row, outcome) in enumerate(scored(asked.values(), read, scorer, store), 1):
            at(place * len(clips) + done, len(scorers) * len(clips))
            if outcome.reason is not None:
                faults[scorer.key(row)] = outcome
    for row in clips:
        for scorer in scorers:
            fault = faults.get(scorer.key(row))
            if fault is not None:
                yield Dropped(input_id=row.video_id, reason=fault.reason, detail=f"{scorer.name}: {fault.detail}")
            else:
                yield row_or_degenerate(row, scorer, store.get(scorer.key(row)))


def scored(
    clips: Iterable[Render], read: Callable[[Render], bytes], scorer: Scorer, store: Store
) -> Iterator[tuple[Render, Outcome[dict]]]:
    """Yield each clip with what one reward model says about it, from `store` where it was asked before."""

    def lookup(row: Render) -> Outcome[dict] | None:
        answer = store.get(scorer.key(row))
        return Outcome(value=answer) if answer else None

    def ask(row: Render) -> ScoreRequest:
        return ScoreRequest(read(row), scorer.text(row))

    def keep(row: Render, outcome: Outcome[Scores]) -> Outcome[dict]:
        outcome = refuse_unsound(outcome)
        if outcome.value is None:
            return Outcome(reason=outcome.reason, detail=outcome.detail)
        answer = {
            "answers": [item.model_dump(exclude_none=True) for item in outcome.value.answers],
            "dims": [item.model_dump() for item in outcome.value.dims],
        }
        if outcome.value.truncated is not None:
            answer["truncated"] = outcome.value.truncated
        # the first answer to a key stays, also when a model would say something else the second time
        store.put(scorer.key(row), "score", {"frames_hash": row.frames_hash, "text": scorer.text(row)}, answer)
        return lookup(row)

    folder = speeds_folder(store.root)
    return buy_missing(
        clips,
        lookup,
        lambda missing: time_outcomes(
            fan_out(scorer.make, missing, ask, keep, spreads=scorer.params.needs.spreads),
            scorer.work,
            folder,
            scorer.at_once,
            device=scorer.params.needs.device,
        ),
    )


def texts_cut(clips: Sequence[Render], scorers: Sequence[Scorer], store: Store) -> dict[str, dict[str, int]]:
    """Return for the metrics how many clips each model scored against a text that it cut.

    A model without such a limit is not named; where none has one, neither is the metric. Scores that were stored before
    they told of it count as not cut.
    """
    cut = {}
    for scorer in scorers:
        answers = store.get_many([scorer.key(row) for row in clips])
        if told := [answer["truncated"] for answer in answers if answer and "truncated" in answer]:
            cut[scorer.name] = sum(told)
    return {"text_truncated": cut} if cut else {}


def row_or_degenerate(row: Render, scorer: Scorer, answer: dict) -> Reward | Dropped:
    scored = Reward(
        video_id=row.video_id,
        query_id=row.query_id,
        prompt_id=row.prompt_id,
        frames_hash=row.frames_hash,
        reward=scorer.name,
        scored_text=scorer.text(row),
        answers=answer["answers"],
        dims=answer["dims"],
        scored_by=scorer.by.model_copy(update={"store_key": scorer.key(row)}),
    )
    if constant(scored):
        detail = f"{scorer.name}: all answers are the same"
        return Dropped(input_id=row.video_id, reason=Reason.DEGENERATE, detail=detail)
    return scored


def constant(row: Reward) -> bool:
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
def main(render, out, params_path):
    """video -> r: score every clip with every reward model."""
    params = load_params(params_path)
    scorers = [make_scorer(name, model) for name, model in params.reward.models.items()]
    with stage_output(out, Reward, label="reward") as writer, progress("reward") as at:
        clips = list(writer.read(render, Render, times=len(scorers)))
        with Store() as store:
            writer.write(reward(clips, lambda row: read_clip(shard_folder(render), row), scorers, store, at))
            writer.add_metrics(**texts_cut(clips, scorers, store))
