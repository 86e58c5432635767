"""The row of stage `critique`."""

from pydantic import Field

from schemas.base import Principle, Prompt, Provenance, Row


class Vote(Row):
    """One of several answers to the same question."""

    aligned: bool | None = Field(description="Its verdict; null where it gave none.")
    violated: tuple[Principle, ...] = Field(description="Principles that it found violated.")
    reason: str | None = Field(description="Why it gave no verdict; one of schemas.reasons.Reason.")
    store_key: str | None = Field(description="Key of the raw answer in the pay-once store.")


class Critique(Prompt):
    """x, p -> c: the verdict on a prompt."""

    aligned: bool = Field(description="The verdict: no principle is violated.")
    violated: tuple[Principle, ...] = Field(description="Principles that the critic found violated.")
    critique: str = Field(description="c: the critic's reasoning, as it wrote it.")
    critique_by: Provenance
    votes: tuple[Vote, ...] = Field(
        default=(), description="Every vote in the order it was asked for; empty where the first one stood alone."
    )
