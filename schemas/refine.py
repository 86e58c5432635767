"""The row of stage `refine`."""

from pydantic import Field

from schemas.base import Provenance
from schemas.critique import Critique


class Refine(Critique):
    """x, p, c -> p_refined, for the flawed prompts."""

    p_refined: str = Field(description="p after refinement by c.")
    p_refined_id: str = Field(description="Hash of (query_id, p_refined).")
    refined_by: Provenance
