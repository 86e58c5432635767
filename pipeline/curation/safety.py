"""Safety queries, judged again: VidProM's Detoxify scores mislabel, so a stronger LLM has the last word (VPO 3.2)."""

from collections.abc import Iterable, Iterator

from pipeline.llm.answer_forms import RECHECK
from pipeline.llm.rounds import ask_teacher
from pipeline.llm.template import Template
from schemas.seams import Messages, Outcome, Teacher


def messages(query: str, template: Template) -> Messages:
    """Return what the teacher is asked about one query; the query is data in it, not words to it."""
    return [{"role": "user", "content": template.fill(query=query)}]


def recheck(queries: Iterable[str], teacher: Teacher, template: Template) -> Iterator[tuple[str, Outcome[bool]]]:
    """Yield each query with the answer whether it asks for something harmful, or with the reason why there is none."""
    return ask_teacher(queries, lambda query: messages(query, template), teacher, RECHECK, template.hash)
