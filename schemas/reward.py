"""The row of stage `reward`: what one reward model said about one clip."""

from typing import ClassVar

from pydantic import Field

from schemas.base import Provenance, Row


class Answer(Row):
    """One answer of a checklist."""

    question_id: str
    answer: bool = Field(description="yes = true")
    p_yes: float | None = Field(default=None, description="P(yes) / (P(yes) + P(no)), where the model tells it.")


class Question(Row):
    """One line of a checklist's question file."""

    question_id: str
    question: str = Field(description="Where it has a weight, yes is the better answer.")
    weight: float = Field(description="What a yes adds to the formula weighted_yes.")
    dimension: str = Field(description="The group the question belongs to.")


class Dimension(Row):
    """One value of a model with several outputs."""

    name: str
    value: float


class Reward(Row):
    """video -> r, kept raw: the answers or the dimensions, never their combination."""

    unit: ClassVar[tuple[str, ...]] = ("video_id", "scored_text", "reward")

    video_id: str
    query_id: str
    prompt_id: str
    suite: str | None = Field(default=None, description="Suite of the evaluation; null outside it.")
    arm: str | None = Field(default=None, description="The system that wrote the prompt.")
    target: str | None = Field(default=None, description="Video generator that made the clip.")
    round: int = Field(default=0, ge=0, description="Round of preference training that the arm comes from.")
    frames_hash: str
    reward: str = Field(description="Name of the reward model, a key of reward.models.")
    scored_text: str = Field(description="The text the clip was scored against.")
    answers: tuple[Answer, ...] = Field(description="Yes/no answers in the order of the question file; else empty.")
    dims: tuple[Dimension, ...] = Field(description="Values by dimension; else empty.")
    scored_by: Provenance
