"""A teacher and a judge without a network: honest small software that reads the same messages an LLM would get.

Model `grammar` writes, critiques, refines and re-checks; model `checker` is the independent judge and critiques only.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pipeline.llm.replies import PRINCIPLES, REFUSAL
from pipeline.runtime.fingerprint import source_hash
from pipeline.runtime.io import DataError
from pipeline.text import clean
from pipeline.world import checker, critic, grammar, refiner
from schemas.base import Principle, Provenance
from schemas.params import WorldParams
from schemas.params_teacher import OfflineTeacherParams
from schemas.reasons import Reason
from schemas.seams import Messages, Outcome, Unparsed

T = TypeVar("T")

SOURCES = {
    "grammar": ("critic", "grammar", "lexicon", "phrases", "reading", "refiner"),
    "checker": ("checker",),
}
# the format that a template demands tells its task
TASKS = {
    "recheck": re.compile(r"unsafe \(yes or no\)", re.I),
    "refine": re.compile(r"final refined prompt", re.I),
    "critique": re.compile(r"final judge?ment \(yes or no\)", re.I),
    "fewshot": re.compile(r"\[\[\s*start\s*\]\]", re.I),
}


def task_of(messages: Messages) -> str:
    """Return which task the last user message sets. Raises DataError when its format is none of ours."""
    question = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    for task, demanded in TASKS.items():
        if demanded.search(question):
            return task
    raise DataError(
        "the offline teacher knows a task by the format that the template demands ([[start]], Final Judgement (Yes or "
        f"No), Final Refined Prompt, Unsafe (Yes or No)) and finds none in: {question[:80]!r}"
    )


def between(messages: Messages, tag: str) -> str:
    """Return the text of the last <tag> ... </tag> that a user message holds. Raises DataError when there is none."""
    for message in reversed(messages):
        if message["role"] == "user":
            if texts := re.findall(rf"<{tag}>\s*(.*?)\s*</{tag}>", message["content"], re.S):
                return texts[-1]
    raise DataError(f"the offline teacher reads the text between <{tag}> and </{tag}>; the template has no such tags")


def answer(model: str, messages: Messages, sample: int, world: WorldParams | None) -> str:
    """Return the reply's text: a pure function of what is asked, so that a server can give it too.

    `sample` tells several answers to the same messages apart. `world` holds the knobs of model grammar.
    """
    task, query = task_of(messages), between(messages, "query")
    if model == "checker":
        if task != "critique":
            raise DataError(f"the offline model checker only critiques; it was asked for: {task}")
        return checker.critique(query, between(messages, "video_prompt"))
    if world is None:
        raise ValueError("model grammar needs the world's knobs")
    if task == "recheck":
        return critic.recheck(query)
    if task == "fewshot":
        prompt = grammar.write(query, sample, world)
        return grammar.REFUSAL if prompt is None else f"[[start]]{prompt}[[end]]"
    prompt = between(messages, "video_prompt")
    if task == "critique":
        return critic.critique(query, prompt, world, sample)
    principles = _principles(messages)
    refined = refiner.refine(query, prompt, principles)
    return (
        f"Reflection on how to refine the Prompt: it should become {' and '.join(principles)}.\n"
        f"Final Refined Prompt: [[start]] {refined} [[end]]"
    )


def _principles(messages: Messages) -> tuple[Principle, ...]:
    """Return the principles that the critique before the refinement names; all, when it names none."""
    reply = next((message["content"] for message in reversed(messages) if message["role"] == "assistant"), "")
    lines = re.findall(r"^violated principles:(.*)$", reply.lower(), re.M)
    return tuple(name for name in PRINCIPLES if lines and name in lines[-1]) or PRINCIPLES


class Offline:
    """Answers at once and for nothing, so it needs no store; its revision is the hash of its own source and knobs."""

    def __init__(self, params: OfflineTeacherParams, world: WorldParams):
        self.model = params.model
        self.world = world if params.model == "grammar" else None
        knobs = {
            name: getattr(world, name)
            for name in WorldParams.model_fields
            if self.world is not None and name.startswith(("teacher_", "critic_"))
        }
        folder = Path(grammar.__file__).parent
        files = [folder / f"{name}.py" for name in SOURCES[self.model]]
        self.revision = source_hash([*files, str(clean.__file__), __file__], **knobs)

    def status(self) -> str:
        return ""

    def map(
        self, conversations: Iterable[Messages], parse: Callable[[str], T], template: str | None = None, sample: int = 0
    ) -> Iterator[Outcome[T]]:
        by = Provenance(backend="offline", model=self.model, revision=self.revision, template=template)
        for messages in conversations:
            try:
                yield Outcome(value=parse(answer(self.model, messages, sample, self.world)), by=by)
            except Unparsed as fault:
                reason = Reason.REFUSED if fault.detail == REFUSAL else Reason.UNPARSED
                yield Outcome(by=by, reason=reason, detail=fault.detail)
