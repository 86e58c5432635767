"""Teachers that say what a test wants them to say."""

from schemas.base import Provenance
from schemas.reasons import Reason
from schemas.seams import Outcome, Unparsed

REFUSAL = "I'm sorry, but I can't help with that."
WELL = {
    "fewshot": "[[start]]A dog runs on a beach.[[end]]",
    "critique": "Step-by-step verification: fine\nViolated principles: none\nFinal Judgement (Yes or No): Yes",
    "refine": "Final Refined Prompt: [[start]]A better dog.[[end]]",
}


class Misbehaving:
    """Gives `replies` one after the other and keeps what it was asked."""

    def __init__(self, *replies: str):
        self.replies, self.asked = replies, []

    def status(self):
        return ""

    def map(self, asked, parse, template=None, sample=0):
        by = Provenance(backend="misbehaving", model="m", revision="r", template=template)
        for messages, reply in zip(asked, self.replies, strict=False):
            self.asked.append(messages)
            try:
                yield Outcome(value=parse(reply), by=by)
            except Unparsed as fault:
                yield Outcome(by=by, reason=Reason.UNPARSED, detail=f"{fault.detail} (1 answers)")
