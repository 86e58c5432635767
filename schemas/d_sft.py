"""The row of stage `d_sft`."""

from typing import ClassVar

from pydantic import Field

from schemas.base import Principle, Prompt


class DSft(Prompt):
    """D_SFT = {(x, s)}: s stands in `prompt`; p, or p_refined where the critic found a flaw."""

    unit: ClassVar[tuple[str, ...]] = ("query_id",)
    key: ClassVar[tuple[str, ...]] = ()

    refined: bool = Field(description="Whether s is p_refined.")
    violated: tuple[Principle, ...] = Field(description="What the critic had found in p; empty when s = p.")
