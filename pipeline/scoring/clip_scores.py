"""Clips to raw scores through the reward models, each bought once: what the store has is taken from it.

Nothing here knows a backend: it is handed in, as the Protocol of its seam.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pipeline.runtime.fanout import fan_out
from pipeline.runtime.paid_once import buy_missing
from pipeline.runtime.speeds import Work, describe_work, speeds_folder, time_outcomes
from pipeline.runtime.store import Store, store_key
from pipeline.scoring.soundness import refuse_unsound
from schemas.base import Provenance
from schemas.params_reward import RewardModelParams
from schemas.reasons import Reason
from schemas.seams import Outcome, RewardModel, ScoreRequest, Scores

RawScores = dict[str, Any]
"""What is stored of a score: `answers` and `dims` as rows hold them, `truncated` where the model tells it"""


class ShownClip(Protocol):
    """What a score hangs on beside the model: the frames, their rate, and the texts. A manifest's row is one."""

    @property
    def query(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def rendered_text(self) -> str | None: ...
    @property
    def frames_hash(self) -> str: ...
    @property
    def frames_per_second(self) -> float: ...


C = TypeVar("C", bound=ShownClip)


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

    def text(self, clip: ShownClip) -> str:
        """Return the text that a clip is scored against: the query, or what the generator read."""
        return (clip.rendered_text or clip.prompt) if self.params.scored_text == "prompt" else clip.query

    def key(self, clip: ShownClip) -> str:
        """Return the key under which the store has the scores of a clip."""
        by = {"backend": self.by.backend, "model": self.by.model, "revision": self.by.revision}
        # which frames are looked at can hang on their rate (one a second)
        frames = {"frames_hash": clip.frames_hash, "frames_per_second": clip.frames_per_second}
        return store_key("score", **frames, scored_text=self.text(clip), **by)


def score_all(
    clips: Sequence[C],
    read: Callable[[C], bytes],
    scorers: Sequence[Scorer],
    store: Store,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[C, Scorer, Outcome[RawScores]]]:
    """Yield each clip with what each reward model gives it, clip by clip.

    `read` returns the bytes (mp4) of a clip. One model after the other goes through all clips before the first is
    yielded, since two large ones seldom fit into one GPU; `report` hears how many scores there are.
    """
    faults: dict[str, Outcome[RawScores]] = {}
    for place, scorer in enumerate(scorers):
        distinct: dict[str, C] = {}
        for clip in clips:  # two prompts can give the same frames: one score for both
            distinct.setdefault(scorer.key(clip), clip)
        for done, (clip, outcome) in enumerate(score_clips(distinct.values(), read, scorer, store), 1):
            report(place * len(clips) + done, len(scorers) * len(clips))
            if outcome.value is None:
                faults[scorer.key(clip)] = outcome
    for clip in clips:
        for scorer in scorers:
            key = scorer.key(clip)
            yield clip, scorer, faults[key] if key in faults else Outcome(value=store.get(key), by=scorer.by)


def score_clips(
    clips: Iterable[C], read: Callable[[C], bytes], scorer: Scorer, store: Store
) -> Iterator[tuple[C, Outcome[RawScores]]]:
    """Yield each clip with what one reward model gives it, from `store` where it was scored before."""

    def look_up(clip: C) -> Outcome[RawScores] | None:
        scores = store.get(scorer.key(clip))
        return Outcome(value=scores) if scores else None

    def request(clip: C) -> ScoreRequest:
        return ScoreRequest(read(clip), scorer.text(clip))

    def keep(clip: C, outcome: Outcome[Scores]) -> Outcome[RawScores]:
        outcome = refuse_unsound(outcome)
        if outcome.value is None:
            return Outcome(reason=outcome.reason or Reason.NO_SCORE, detail=outcome.detail)
        scores: RawScores = {
            "answers": [item.model_dump(exclude_none=True) for item in outcome.value.answers],
            "dims": [item.model_dump() for item in outcome.value.dims],
        }
        if outcome.value.truncated is not None:
            scores["truncated"] = outcome.value.truncated
        # the first answer to a key stays, also when a model would say something else the second time
        store.put(scorer.key(clip), "score", {"frames_hash": clip.frames_hash, "text": scorer.text(clip)}, scores)
        return look_up(clip) or Outcome(value=scores)

    folder = speeds_folder(store.root)
    return buy_missing(
        clips,
        look_up,
        lambda missing: time_outcomes(
            fan_out(scorer.make, missing, request, keep, spreads=scorer.params.needs.spreads),
            scorer.work,
            folder,
            scorer.at_once,
            device=scorer.params.needs.device,
        ),
    )


def count_cut_texts(clips: Sequence[ShownClip], scorers: Sequence[Scorer], store: Store) -> dict[str, dict[str, int]]:
    """Return for the metrics how many clips each model scored against a text that it cut.

    A model without such a limit is not named; where none has one, neither is the metric. Scores that were stored before
    they told of it count as not cut.
    """
    cut = {}
    for scorer in scorers:
        stored = store.get_many([scorer.key(clip) for clip in clips])
        if marks := [scores["truncated"] for scores in stored if scores and "truncated" in scores]:
            cut[scorer.name] = sum(marks)
    return {"text_truncated": cut} if cut else {}
