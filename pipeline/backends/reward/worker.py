"""Scorers that need an environment of their own: a child process, JSON lines both ways (workers/protocol.py).

The child gets the next clip before it has answered the last, so that its GPU need not wait. What it says is believed
only when it is whole: anything odd about an answer leaves the clip without a score.
"""

import tempfile
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.backends.reward.child import Child, OutOfStep, Stopped
from pipeline.backends.reward.workers.protocol import VERSION
from pipeline.runtime.io import DataError
from pipeline.scoring.questions import fill, questions_hash, read_questions
from pipeline.video.clips import BadClip, decode
from schemas.base import Provenance, content_id
from schemas.params_reward import ChecklistParams, VideoAlignParams, VisionRewardParams
from schemas.reasons import Reason
from schemas.reward import Answer, Dimension
from schemas.seams import Outcome, ScoreRequest, Scores

DIMENSIONS = {"videoalign": ("VQ", "MQ", "TA", "VQ_z", "MQ_z", "TA_z")}
"""What a scorer that rates tells of each clip; the others answer a file's questions."""
WAY = {"visionreward": "strategy chat, top_k 1, first token; 1", "videoalign": "authors' fps and pixels; 1"}
"""Part of the revision: change it with how workers/<scorer>.py looks at a clip."""

IN_FLIGHT = 2
TRIES = 3
"""Deaths of the child over one clip, after which the clip has no score."""
DEATHS_IN_A_ROW = 3 * TRIES
"""Deaths without one answer between, after which the child itself is at fault."""
ANSWER_S, LOAD_S = 600.0, 3600.0


@dataclass
class Job:
    """A clip that was asked for: its line, and how often the child died over it; or its outcome."""

    id: str
    line: dict | None = None
    clip: Path | None = None
    deaths: int = 0
    outcome: Outcome[Scores] | None = None


class Worker:
    """Scores by the program `params.worker`, started at the first clip; it ends with this object.

    It outlives one `map`: a worker on Ray is given few clips at a time, and the weights take minutes to load.
    """

    def __init__(self, params: VisionRewardParams | VideoAlignParams, load_s: float = LOAD_S):
        if params.revision is None:
            raise DataError(f"{params.backend}: set revision to the 40-hex commit of {params.model}")
        self.params, self.load_s = params, load_s
        self.questions = read_questions(params.questions) if isinstance(params, ChecklistParams) else ()
        how = content_id(questions_hash(self.questions), WAY[params.backend], VERSION)
        self.by = Provenance(backend=params.backend, model=params.model, revision=f"{params.revision}+{how}")
        self.hello = {
            "protocol": VERSION, "scorer": params.backend, "model": params.model, "revision": params.revision
        }  # fmt: skip
        self.children: list[Child] = []
        """the one that runs, or none"""
        weakref.finalize(self, end_all, self.children)
        # never the same twice: an answer that comes late must not be taken for that of another clip
        self.names = map(str, count())
        self.deaths = 0

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        waiting: deque[Job] = deque()
        done = False
        with tempfile.TemporaryDirectory(prefix="vpo-clips-") as folder:
            try:
                for item in items:
                    waiting.append(self.job(next(self.names), item, Path(folder)))
                    self.send(waiting[-1])
                    if len(waiting) == IN_FLIGHT:
                        yield self.finish(waiting)
                while waiting:
                    yield self.finish(waiting)
                done = True
            finally:
                if not done:  # it may still be at a clip that nobody waits for
                    end_all(self.children)

    def job(self, name: str, item: ScoreRequest, folder: Path) -> Job:
        try:
            decode(item.clip)
        except BadClip as fault:
            return Job(name, outcome=Outcome(reason=Reason.BAD_CLIP, detail=str(fault)))
        clip = folder / f"{name}.mp4"
        clip.write_bytes(item.clip)
        questions = [{"id": one.question_id, "question": fill(one, item.text)} for one in self.questions]
        return Job(name, {"id": name, "clip": str(clip), "text": item.text, "questions": questions}, clip)

    def send(self, job: Job) -> None:
        if job.outcome is None and job.line is not None:
            self.running().say(job.line)

    def running(self) -> Child:
        """Return the child, started where none runs."""
        if not self.children:
            self.children.append(self.start())
        return self.children[0]

    def finish(self, waiting: deque[Job]) -> Outcome[Scores]:
        """Return what is said about the oldest job, which leaves."""
        job = waiting[0]
        while job.outcome is None:
            try:
                job.outcome = self.outcome(self.running().answer(job.id, self.params.timeout_s or ANSWER_S))
                self.deaths = 0
            except OutOfStep as fault:
                job.outcome = Outcome(reason=Reason.NO_SCORE, detail=str(fault))
                self.restart(waiting)
            except Stopped as fault:
                job.deaths += 1
                if job.deaths == TRIES:
                    detail = f"the worker stopped {TRIES} times over it: {fault}"
                    job.outcome = Outcome(reason=Reason.NO_SCORE, detail=detail)
                self.restart(waiting)
        if job.clip is not None:
            job.clip.unlink()
        waiting.popleft()
        return job.outcome

    def restart(self, waiting: Iterable[Job]) -> None:
        """End the child and start another, which is asked again for what has no outcome yet.

        Raises DataError when children stop one after the other without an answer.
        """
        self.deaths += 1
        child = self.children.pop()
        child.kill()
        if self.deaths == DEATHS_IN_A_ROW:
            raise DataError(
                f"{self.params.backend}: the worker stopped {self.deaths} times in a row without an answer; its last "
                f"lines: {child.last_lines()}"
            )
        for job in waiting:
            self.send(job)

    def start(self) -> Child:
        """Return a new child that loaded what the params name. Raises DataError where it did not."""
        child = Child(self.params.worker)
        try:
            child.say(self.hello)
            greeting = child.line(self.load_s)
        except Stopped as fault:
            child.kill()
            raise DataError(f"{self.params.backend}: the worker did not start: {fault}") from None
        loaded = greeting if isinstance(greeting, dict) else {}
        differs = [name for name, value in self.hello.items() if loaded.get(name) != value]
        if differs:
            child.kill()
            name = differs[0]
            theirs = loaded.get(name) if isinstance(greeting, dict) else greeting
            raise DataError(f"{self.params.backend}: the worker has {name} {theirs}, params ask for {self.hello[name]}")
        return child

    def outcome(self, answer: dict[str, Any]) -> Outcome[Scores]:
        if "error" in answer:
            return no_score(str(answer["error"]))
        names = DIMENSIONS.get(self.params.backend)
        fault = (
            unlike_dims(answer, names) if names else unlike_answers(answer, [one.question_id for one in self.questions])
        )
        if fault:
            return no_score(fault)
        if names:
            return Outcome(
                value=Scores(dims=tuple(Dimension(name=name, value=answer["dims"][name]) for name in names)), by=self.by
            )
        answers = (
            Answer(question_id=one.question_id, answer=answer["answers"][one.question_id] == "yes")
            for one in self.questions
        )
        return Outcome(value=Scores(answers=tuple(answers)), by=self.by)


def no_score(why: str) -> Outcome[Scores]:
    # half a character, which JSON can hold and no file of ours
    return Outcome(reason=Reason.NO_SCORE, detail=why[:500].encode(errors="replace").decode())


def end_all(children: list[Child]) -> None:
    while children:
        children.pop().end()


def unlike_answers(answer: dict[str, Any], ids: list[str]) -> str:
    """Return what is wrong with the answers; "" for nothing. The authors count any other word as no; we do not."""
    given: Any = answer.get("answers")
    if fault := unlike_names(given, ids, "answers"):
        return fault
    odd = [f"{name} is answered {given[name]!r:.40}" for name in ids if given[name] not in ("yes", "no")]
    return ", ".join(odd[:3])


def unlike_dims(answer: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return what is wrong with the values by dimension; "" for nothing."""
    given: Any = answer.get("dims")
    if fault := unlike_names(given, names, "dims"):
        return fault
    odd = [f"{name} is {given[name]!r:.40}" for name in names if not isinstance(given[name], float)]
    return ", ".join(odd[:3])


def unlike_names(given: Any, names: Iterable[str], what: str) -> str:
    if not isinstance(given, dict):
        return f"the worker gave no {what}"
    missing, strange = [name for name in names if name not in given], sorted(given.keys() - {*names})
    faults = [f"no {what} for {', '.join(missing[:3])}"] if missing else []
    faults += [f"{what} nobody asked for: {', '.join(strange[:3])}"] if strange else []
    return "; ".join(faults)
