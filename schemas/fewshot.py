"""The row of stage `fewshot`."""

from schemas.base import Prompt


class Fewshot(Prompt):
    """x -> p by in-context learning."""
