"""The shapes that every row shares: frozen, no unknown fields, ids by content."""

import json
from hashlib import sha256
from json.encoder import encode_basestring as quote
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["sft", "dpo", "test"]
Principle = Literal["harmless", "accurate", "helpful"]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_]*$"
"""Names of arms, suites and sources of pairs: parts of paths and of DVC's stage names, where `-` separates two."""
EMPTY = sha256()


def text_id(first: str, second: str | None = None) -> str:
    """Return `content_id` of one text or two, in a quarter of its time: each row that is read asks for it."""
    encoded = f"[{quote(first)}]" if second is None else f"[{quote(first)},{quote(second)}]"
    digest = EMPTY.copy()  # a third quicker than a new one
    digest.update(encoded.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def content_id(*parts: Any) -> str:
    """Return 16 hex digits of the SHA-256 of `parts`, the same in every version of the data.

    Parts are JSON-encoded with sorted keys, so that ("ab", "c") and ("a", "bc") differ.
    """
    encoded = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(encoded.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Row(BaseModel):
    """One line of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: ClassVar[tuple[str, ...]] = ()
    """The columns that name the unit of work a row stands for; () means the row itself."""
    key: ClassVar[tuple[str, ...]] = ()
    """The columns that no two rows of a file share; () where nothing says so."""

    def find_fault(self) -> str:
        """Return what is wrong between the columns of this row, as "column: fault"; "" where nothing is."""
        return ""


class Provenance(Row):
    """Who wrote a text or a number, and where the raw answer is kept."""

    backend: str = Field(description="Name of the backend, as in params.yaml; offline ones say so.")
    model: str = Field(description="Model as asked for.")
    revision: str = Field(description="Revision or weights' hash; for offline backends the hash of their source.")
    template: str | None = Field(default=None, description="SHA-256 (16 hex) of the template that was filled in.")
    store_key: str | None = Field(default=None, description="Key of the raw answer in the pay-once store.")


class QueryBase(Row):
    """What every row knows about the user's query x."""

    query_id: str = Field(description="Hash of the cleaned query.")
    query: str = Field(description="x: what the user typed, cleaned.")
    split: Split = Field(description="sft, dpo or test.")
    safety: bool = Field(description="Whether the query asks for something harmful (after the re-check).")

    def find_fault(self) -> str:
        """Return whether query_id is another one than that of the query."""
        return "" if text_id(self.query) == self.query_id else f"query_id: not that of its query, {text_id(self.query)}"


class Prompt(QueryBase):
    """A prompt p for a query x, whoever wrote it."""

    unit: ClassVar[tuple[str, ...]] = ("query_id", "arm", "sample")
    key: ClassVar[tuple[str, ...]] = ("query_id", "arm", "sample")

    prompt_id: str = Field(description="Hash of (query_id, prompt).")
    prompt: str = Field(description="p: what the video model reads.")
    suite: str | None = Field(default=None, description="Suite of the evaluation; null outside it.")
    arm: str = Field(description="The system that wrote it: original, fewshot, sft, dpo, ...")
    target: str | None = Field(default=None, description="Video generator that it is rendered by; null before that.")
    sample: int = Field(ge=0, description="Index among the prompts this arm wrote for this query.")
    round: int = Field(default=0, ge=0, description="Round of preference training that the arm comes from.")
    written_by: Provenance

    def find_fault(self) -> str:
        """Return whether the prompt is empty, or an id is not that of its texts."""
        if self.prompt.isspace() or not self.prompt:
            return "prompt: empty"
        if text_id(self.query_id, self.prompt) != self.prompt_id:
            return f"prompt_id: not that of its prompt, {text_id(self.query_id, self.prompt)}"
        if text_id(self.query) != self.query_id:
            return f"query_id: not that of its query, {text_id(self.query)}"
        return ""


class Pair(Row):
    """A preference pair of prompts for one query."""

    unit: ClassVar[tuple[str, ...]] = ("query_id",)

    pair_id: str = Field(description="Hash of (query_id, chosen, rejected, source).")
    query_id: str
    query: str = Field(description="x")
    chosen: str = Field(description="The better prompt.")
    rejected: str = Field(description="The worse prompt.")
    source: str = Field(
        pattern=NAME, description="Which feedback made the pair, a key of dpo.sources: text, video, ..."
    )
    rule: str = Field(description="Name of the rule that paired them.")
    chosen_origin: Literal["policy", "refined"] = Field(description="Who wrote the chosen prompt.")
    score_chosen: float | None = Field(default=None, description="Reward of the chosen prompt's clip.")
    score_rejected: float | None = Field(default=None, description="Reward of the rejected prompt's clip.")
    target: str | None = Field(default=None, description="Video generator the pair was made for.")
    round: int = Field(default=0, ge=0, description="Round of preference training that the pair feeds.")
    chosen_id: str = Field(description="prompt_id of the chosen prompt.")
    rejected_id: str = Field(description="prompt_id of the rejected prompt.")
    decided_by: tuple[str, ...] = Field(
        description="Principles (text), or question ids or dimensions (video), that decided the pair."
    )
    safety: bool = Field(description="Whether the query asks for something harmful.")

    def find_fault(self) -> str:
        """Return which id is not the hash of the texts: a pair whose sides were exchanged by hand has a wrong one."""
        for name in ("chosen", "rejected"):
            if not getattr(self, name).strip():
                return f"{name}: empty"
        ids = {
            "query_id": text_id(self.query),
            "pair_id": content_id(self.query_id, self.chosen, self.rejected, self.source),
            "chosen_id": text_id(self.query_id, self.chosen),
            "rejected_id": text_id(self.query_id, self.rejected),
        }
        wrong = next((name for name, right in ids.items() if getattr(self, name) != right), None)
        return f"{wrong}: not that of its texts, {ids[wrong]}" if wrong else ""


class Dropped(Row):
    """A unit that could not go on, and why."""

    input_id: str = Field(description="Id of the unit that leaves.")
    reason: str = Field(description="One of schemas.reasons.Reason.")
    detail: str = Field(default="", description="What a person needs to know beyond the reason.")
    suite: str | None = Field(default=None, description="Suite of the evaluation; null outside it.")
    arm: str | None = Field(default=None, description="Arm that the unit belongs to, where the stage knows it.")
