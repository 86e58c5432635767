"""The row of stage `fewshot`."""

from pydantic import Field

from schemas.base import Prompt, Row


class Fewshot(Prompt):
    """x -> p by in-context learning."""


class Exemplar(Row):
    """One demonstration that the teacher is shown, a line of fewshot.exemplars."""

    query: str = Field(description="x")
    prompt: str = Field(description="A good p for it.")
