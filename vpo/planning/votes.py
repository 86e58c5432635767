"""How many votes follow a first No, expected by the rule that the stage itself stops by."""

from collections.abc import Callable

from pipeline.critique import Outcomes
from pipeline.llm.replies import Verdict
from schemas.seams import Outcome


def expected_votes(votes: int, no_again: float, is_open: Callable[[Outcomes, int], bool]) -> float:
    """Return the mean number of votes behind a first No, where each later one says No with probability `no_again`."""

    def further(outcomes: Outcomes) -> float:
        if not is_open(outcomes, votes):
            return 0.0
        no, yes = (further((*outcomes, Outcome(value=verdict(aligned=aligned)))) for aligned in (False, True))
        return 1 + no_again * no + (1 - no_again) * yes

    return further((Outcome(value=verdict(aligned=False)),))


def verdict(aligned: bool) -> Verdict:
    """Return a verdict that nobody gave, to count by."""
    return Verdict(aligned=aligned, violated=() if aligned else ("accurate",), reasoning="")
