"""Rows in, scored clips out: the loop that evolves prompts or races them calls, in which every half is bought once.

Stages `render` and `reward` run its two halves one after the other, with the clips in shards between them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.scoring.clip_scores import RawScores, Scorer, score_all
from pipeline.video.clips import ClipStore
from pipeline.video.rendering import ClipRequest, Facts, Rendering, render_clips
from schemas.seams import Outcome


@dataclass(frozen=True)
class MadeClip:
    """A clip that lies in the store, and the texts that it may be scored against."""

    item: ClipRequest
    facts: Facts

    @property
    def query(self) -> str:
        return self.item.row.query

    @property
    def prompt(self) -> str:
        return self.item.row.prompt

    @property
    def rendered_text(self) -> str | None:
        return None if self.item.request.prompt == self.prompt else self.item.request.prompt

    @property
    def frames_hash(self) -> str:
        return str(self.facts["frames_hash"])

    @property
    def frames_per_second(self) -> float:
        return float(self.facts["frames_per_second"])


@dataclass(frozen=True)
class ScoredClip:
    """A request with its clip and the raw scores by reward model's name, each with the reason where there is none."""

    item: ClipRequest
    clip: Outcome[Facts]
    scores: Mapping[str, Outcome[RawScores]]


def render_and_score(
    requests: Iterable[ClipRequest], rendering: Rendering, clips: ClipStore, scorers: Sequence[Scorer]
) -> Iterator[ScoredClip]:
    """Yield each request with its clip and its scores, in order; what `clips` and its store have is not bought again.

    All clips are rendered before the first is scored, since generator and reward model seldom fit into one GPU.
    """
    rendered = list(render_clips(requests, rendering, clips))
    made = [MadeClip(item, outcome.value) for item, outcome in rendered if outcome.value is not None]

    def read(clip: MadeClip) -> bytes:
        return clips.path(clip.facts["video_id"]).read_bytes()

    scores: dict[str, dict[str, Outcome[RawScores]]] = {}
    for clip, scorer, outcome in score_all(made, read, scorers, clips.store):
        scores.setdefault(clip.facts["video_id"], {})[scorer.name] = outcome
    for item, outcome_of_clip in rendered:
        facts = outcome_of_clip.value
        yield ScoredClip(item, outcome_of_clip, scores[facts["video_id"]] if facts and scorers else {})
