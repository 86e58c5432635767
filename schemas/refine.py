"""The row of stage `refine`."""

from pydantic import Field

from schemas.base import Provenance, text_id
from schemas.critique import Critique


class Refine(Critique):
    """x, p, c -> p_refined, for the flawed prompts."""

    p_refined: str = Field(description="p after refinement by c.")
    p_refined_id: str = Field(description="Hash of (query_id, p_refined).")
    refined_by: Provenance
    rounds: int = Field(default=1, ge=1, description="How many refinements it took.")
    verified: bool | None = Field(default=None, description="Whether p_refined passed the critic; null: not asked.")
    verified_by: Provenance | None = Field(default=None, description="Who passed it.")

    def find_fault(self) -> str:
        """Return whether p_refined is empty, or an id is not that of its texts."""
        if not self.p_refined.strip():
            return "p_refined: empty"
        if text_id(self.query_id, self.p_refined) != self.p_refined_id:
            return f"p_refined_id: not that of its text, {text_id(self.query_id, self.p_refined)}"
        return super().find_fault()
