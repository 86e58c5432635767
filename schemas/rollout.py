"""The row of stage `rollout`, and which stage wrote a file of prompts."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from schemas.base import Prompt
from schemas.stage import row_class


class Rollout(Prompt):
    """x -> p_1 .. p_K from the policy."""

    duplicate_of: int | None = Field(
        default=None, description="The first sample of the same query with the same text; null where this is the first."
    )
    loops: bool = Field(default=False, description="Whether the text repeats itself (see pipeline.text.loops).")
    served: Literal["prompt", "query"] = Field(
        default="prompt",
        description="What a user of the arm gets: a prompt that the arm wrote, or the query, where it wrote none.",
    )
    failure: str | None = Field(
        default=None, description="Why the arm wrote none, one of schemas.reasons.Reason; null where it wrote one."
    )


def prompt_class(path: str | Path) -> type[Prompt]:
    """Return the row class of a file of prompts, which is named by the stage that wrote it.

    Raises ValueError for a file that is not named by a stage that writes prompts.
    """
    row = row_class(Path(path).stem)
    if row is None or not issubclass(row, Prompt):
        raise ValueError(f"{path}: a file of prompts is named by the stage that wrote it, such as fewshot or rollout")
    return row
