"""How many tokens a request is expected to take, learnt from the answers so far: for pace and budget."""

from collections.abc import Mapping
from typing import Any

TOKENS_PER_CHARACTER, FIRST_OUTPUT_TOKENS = 0.25, 250.0
"""what is expected of a request before the first answer"""
LEAST_WEIGHT = 0.05
"""the weight of the newest answer in the running mean never falls below this (ours)"""


class ExpectedTokens:
    """Running means: input tokens a character of the messages, output tokens a choice."""

    def __init__(self) -> None:
        self.per_character, self.per_choice = TOKENS_PER_CHARACTER, FIRST_OUTPUT_TOKENS

    def estimate_input(self, body: Mapping[str, Any]) -> int:
        """Return the input tokens expected of a chat completion's `body`."""
        return round(_count_characters(body) * self.per_character)

    def estimate_output(self, body: Mapping[str, Any]) -> float:
        """Return the output tokens expected for all choices of `body`, whatever it allows at most."""
        return self.per_choice * _count_choices(body)

    def estimate_total(self, body: Mapping[str, Any]) -> float:
        return self.estimate_input(body) + self.estimate_output(body)

    def learn(self, body: Mapping[str, Any], tokens: tuple[int, int], n_answers: int) -> None:
        """Move the means to what `body` took, (input, output); it is the `n_answers`-th answer of this process."""
        per_character, per_choice = tokens[0] / max(_count_characters(body), 1), tokens[1] / _count_choices(body)
        weight = max(LEAST_WEIGHT, 1 / n_answers)
        self.per_character += weight * (per_character - self.per_character)
        self.per_choice += weight * (per_choice - self.per_choice)


def _count_characters(body: Mapping[str, Any]) -> int:
    return sum(len(message["content"]) for message in body["messages"])


def _count_choices(body: Mapping[str, Any]) -> int:
    return body.get("n") or 1
