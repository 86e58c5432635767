"""How many tokens a request is expected to take, learnt from the answers so far: for pace and budget."""

import math
from collections.abc import Mapping
from typing import Any

TOKENS_PER_CHARACTER, FIRST_OUTPUT_TOKENS = 0.25, 250.0
"""what is expected of a request before the first answer"""
SURE = 2.0
"""ours: standard deviations of a sum that is not known, so that 39 of 40 such sums are not above what is charged"""
LEAST_WEIGHT = 0.05
"""the weight of the newest answer in the running mean never falls below this (ours)"""


class ExpectedTokens:
    """Running means: input tokens a character of the messages, output tokens a choice, and how much the latter vary."""

    def __init__(self) -> None:
        self.per_character, self.per_choice = TOKENS_PER_CHARACTER, FIRST_OUTPUT_TOKENS
        self.variance = FIRST_OUTPUT_TOKENS**2

    def begin(self, requests: int, output_tokens: int) -> None:
        """Expect what earlier requests took, until the first answer; they are taken to vary by half of it."""
        if requests and output_tokens:
            self.per_choice = output_tokens / requests
            self.variance = (self.per_choice / 2) ** 2

    def estimate_input(self, body: Mapping[str, Any]) -> int:
        """Return the input tokens expected of a chat completion's `body`."""
        return round(_count_characters(body) * self.per_character)

    def estimate_output(self, body: Mapping[str, Any]) -> float:
        """Return the output tokens expected for all choices of `body`, whatever it allows at most."""
        return self.per_choice * _count_choices(body)

    def estimate_total(self, body: Mapping[str, Any]) -> float:
        return self.estimate_input(body) + self.estimate_output(body)

    def estimate_unknown(self, body: Mapping[str, Any], number: int) -> tuple[int, int]:
        """Return (input, output) tokens to charge for the `number`-th request, from 1 on, whose end is not known.

        All that are charged so come to their mean and SURE standard deviations of their sum.
        """
        share = math.sqrt(number) - math.sqrt(number - 1)
        output = self.estimate_output(body) + SURE * math.sqrt(self.variance) * share * _count_choices(body)
        return self.estimate_input(body), round(output)

    def learn(self, body: Mapping[str, Any], tokens: tuple[int, int], n_answers: int) -> None:
        """Move the means to what `body` took, (input, output); it is the `n_answers`-th answer of this process."""
        per_character, per_choice = tokens[0] / max(_count_characters(body), 1), tokens[1] / _count_choices(body)
        weight = max(LEAST_WEIGHT, 1 / n_answers)
        slower = max(LEAST_WEIGHT, 1 / (n_answers + 1))  # one answer says nothing about how much they vary
        if n_answers > 1:
            self.variance += slower * ((per_choice - self.per_choice) ** 2 - self.variance)
        self.per_character += weight * (per_character - self.per_character)
        self.per_choice += weight * (per_choice - self.per_choice)


def _count_characters(body: Mapping[str, Any]) -> int:
    return sum(len(message["content"]) for message in body["messages"])


def _count_choices(body: Mapping[str, Any]) -> int:
    return body.get("n") or 1
