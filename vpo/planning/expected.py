"""An estimate of one stage, and the arithmetic of what is expected where it is not known."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean

from pipeline.curation.draw import LEAST_ASKED
from schemas.base import Dropped, Row
from schemas.seams import Messages
from vpo.planning.lookup import NOT_BOUGHT, n_characters


@dataclass
class Estimate:
    """The calls of one stage; tokens and US dollars are of the calls to buy alone.

    Numbers are UNKNOWN where nobody can count them, `usd` is None where the price is not known.
    """

    stage: str
    seam: str
    backend: str
    model: str
    paid: bool
    rows: float = 0.0
    rows_from: str = ""
    calls: float = 0.0
    in_store: float = 0
    to_buy: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    usd: float | None = 0.0
    notes: list[str] = field(default_factory=list)

    def say(self, note: str) -> None:
        """Add a note, once."""
        if note not in self.notes:
            self.notes.append(note)


def ask_in_rounds(demand: float, unsafe: float, candidates: float = float("inf")) -> float:
    """Return how many safety candidates are asked about until `demand` are found, by the rounds of stage queries."""
    total = 0.0
    while demand >= 0.5 and total < candidates:
        these = min(max(demand, LEAST_ASKED), candidates - total)
        total += these
        demand -= these * unsafe
    return total


def count_lost(made: Iterable[Row]) -> int:
    """Return how many units left because their answer is not bought yet."""
    return sum(isinstance(item, Dropped) and item.detail == NOT_BOUGHT for item in made)


def mean_sent(requests: Iterable[Messages]) -> float:
    """Return the mean characters of requests."""
    return fmean(n_characters(messages) for messages in requests)
