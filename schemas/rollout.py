"""The row of stage `rollout`, and which stage wrote a file of prompts."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from schemas.base import Prompt
from schemas.fewshot import Fewshot


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

    Raises ValueError for a file that neither of the two stages that write prompts names so.
    """
    classes: dict[str, type[Prompt]] = {"fewshot": Fewshot, "rollout": Rollout}
    if (stage := Path(path).stem) not in classes:
        raise ValueError(f"{path}: prompts come from {' or '.join(classes)}, whose files are named so")
    return classes[stage]
