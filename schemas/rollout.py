"""The row of stage `rollout`."""

from pydantic import Field

from schemas.base import Prompt


class Rollout(Prompt):
    """x -> p_1 .. p_K from the policy."""

    duplicate_of: int | None = Field(
        default=None, description="The first sample of the same query with the same text; null where this is the first."
    )
    loops: bool = Field(default=False, description="Whether the text repeats itself (see pipeline.text.loops).")
