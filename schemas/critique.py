"""The row of stage `critique`."""

from pydantic import Field

from schemas.base import Principle, Prompt, Provenance


class Critique(Prompt):
    """x, p -> c: the verdict on a prompt."""

    aligned: bool = Field(description="The verdict: no principle is violated.")
    violated: tuple[Principle, ...] = Field(description="Principles that the critic found violated.")
    critique: str = Field(description="c: the critic's reasoning, as it wrote it.")
    critique_by: Provenance
