"""A checklist asked of any image-text-to-text model of transformers, the Qwen-VL family first (VPO 3.3, VisionReward).

Frames as VisionReward's strategy `chat` takes them, given as pictures, since every such model reads pictures.
"""

from collections.abc import Iterable, Iterator

import click

from pipeline.backends.reward.workers.visionreward import MOST_FRAMES, one_a_second
from pipeline.backends.reward.yes_no import CannotAsk, YesNo
from pipeline.backends.weights import name_of, revision_of
from pipeline.scoring.questions import PLACEHOLDER, fill, questions_hash, read_questions
from pipeline.video.clips import BadClip, decode, rate
from schemas.base import Provenance, content_id
from schemas.params_reward import ModelChecklistParams
from schemas.reasons import Reason
from schemas.reward import Answer
from schemas.seams import Outcome, ScoreRequest, Scores

WAY = "chat frames as pictures; first token, yes against no; 1"
"""Part of the revision: change it with the words around a question or with how frames are taken."""
QUESTIONS_AT_ONCE = 32


class Checklist:
    """Answers a file's questions about a clip; loads the model at the first clip."""

    def __init__(self, params: ModelChecklistParams):
        self.params = params
        self.questions = read_questions(params.questions)
        self.n_frames = params.n_frames or MOST_FRAMES
        how = content_id(questions_hash(self.questions), WAY, self.n_frames, params.dtype)
        revision = f"{revision_of(params.model, params.revision)}+{how}"
        self.by = Provenance(backend="checklist", model=name_of(params.model), revision=revision)
        self.model: YesNo | None = None

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        for item in items:
            yield self.score(item)

    def score(self, item: ScoreRequest) -> Outcome[Scores]:
        try:
            frames, per_second = decode(item.clip), rate(item.clip)
        except BadClip as fault:
            return Outcome(reason=Reason.BAD_CLIP, detail=str(fault))
        places = one_a_second([number / per_second for number in range(len(frames))], self.n_frames)
        texts = [fill(question, item.text) for question in self.questions]
        try:
            p_yes = [round(p, 6) for p in self.load().p_yes(frames[places], texts)]
        except CannotAsk as fault:
            return Outcome(reason=Reason.NO_SCORE, detail=str(fault))
        answers = (
            Answer(question_id=question.question_id, answer=p > 0.5, p_yes=p)
            for question, p in zip(self.questions, p_yes, strict=True)
        )
        return Outcome(value=Scores(answers=tuple(answers)), by=self.by)

    def load(self) -> YesNo:
        if self.model is None:
            params = self.params
            if not any(PLACEHOLDER in question.question for question in self.questions):
                blind = f"no question of {params.questions} has {PLACEHOLDER}, so no answer depends on the text"
                click.echo(f"  checklist: {blind}", err=True)
            batch_size = params.batch_size or QUESTIONS_AT_ONCE
            self.model = YesNo(params.model, params.revision, params.dtype, batch_size)
            self.model.check([fill(question, "a red square that moves to the right") for question in self.questions])
        return self.model
