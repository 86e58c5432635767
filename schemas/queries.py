"""The row of stage `queries`: x, with everything the source said about it."""

from typing import ClassVar

from pydantic import Field

from schemas.base import QueryBase, Row


class Query(QueryBase):
    """raw -> x. The cleaned query, its raw text beside it."""

    unit: ClassVar[tuple[str, ...]] = ("source_id",)
    key: ClassVar[tuple[str, ...]] = ("query_id",)

    raw: str = Field(description="The text as the source has it.")
    source: str = Field(description="synthetic, or the file's or Hub dataset's name.")
    source_id: str = Field(description="The source's own id of the row, or its position.")
    time: str | None = Field(default=None, description="When it was typed, as the source writes it (VidProM).")
    unsafe_score: float | None = Field(default=None, description="Largest of the source's toxicity scores, 0 to 1.")


class QueryDropped(Row):
    """A raw query that did not become a row, and the kept row that witnesses it."""

    input_id: str = Field(description="Id of the unit that leaves.")
    reason: str = Field(description="One of schemas.reasons.Reason.")
    detail: str = Field(default="", description="What a person needs to know beyond the reason.")
    raw: str | None = Field(default=None, description="The raw text; null where it may not be kept.")
    witness_id: str | None = Field(default=None, description="query_id of the kept row it repeats or resembles.")
    score: float | None = Field(default=None, description="Similarity to the witness, or the score a rule looked at.")
