"""A teacher whose answers depend on what is asked and on the sample, with questions under way as a real one has."""

from collections import deque

from schemas.base import Provenance
from schemas.reasons import Reason
from schemas.seams import Outcome, Unparsed

YES = "Step-by-step verification: fine\nViolated principles: none\nFinal Judgement (Yes or No): Yes"
NO = "Step-by-step verification: red is gone\nViolated principles: accurate\nFinal Judgement (Yes or No): No"


class Panel:
    """Answers with `say(messages, sample)`; `ahead` questions may be under way before the first outcome is given.

    `asked` keeps (messages, sample) in the order in which they were asked.
    """

    def __init__(self, say, ahead=0):
        self.say, self.ahead, self.asked = say, ahead, []

    def status(self):
        return ""

    def map(self, asked, parse, template=None, sample=0):
        waiting = deque()
        for messages in asked:
            self.asked.append((messages, sample))
            waiting.append(self.outcome(messages, parse, template, sample))
            if len(waiting) > self.ahead:
                yield waiting.popleft()
        yield from waiting

    def outcome(self, messages, parse, template, sample):
        key = f"{len(self.asked)}/{sample}"
        by = Provenance(backend="panel", model="m", revision="r", template=template, store_key=key)
        try:
            return Outcome(value=parse(self.say(messages, sample)), by=by)
        except Unparsed as fault:
            return Outcome(by=by, reason=Reason.UNPARSED, detail=fault.detail)
