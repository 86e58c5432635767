"""A policy's answer, however it was asked, as an outcome: cleaned and typed as a teacher's is."""

from pipeline.llm.model_text import clean_reply, read_reason
from pipeline.llm.replies import parse_policy_answer
from schemas.base import Provenance
from schemas.seams import Outcome, Unparsed


def read_policy_outcome(text: str, by: Provenance) -> Outcome[str]:
    """Return p of a finished answer, or why it is none: empty, refused, garbled, unparsed (placeholder, chatter)."""
    try:
        return Outcome(value=parse_policy_answer(text), by=by)
    except Unparsed as fault:
        return Outcome(by=by, reason=read_reason(fault.detail), detail=f"{fault.detail}: {clean_reply(text)[:200]}")
