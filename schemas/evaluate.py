"""The row of stage `evaluate`: one number with its interval."""

from pydantic import Field

from schemas.base import Row


class Evaluate(Row):
    """One metric of one arm, or of the paired difference of two arms."""

    suite: str = Field(description="The set of queries; `test` is the held-out split.")
    target: str = Field(description="The video generator.")
    arm: str
    versus: str | None = Field(default=None, description="Null for a plain value; else the metric is arm - versus.")
    metric: str = Field(
        description="reward, failed, aligned, imprecise, refusal, withheld, unsafe_all, unsafe, dim_*, diversity, "
        "words; reward_written and unsafe_written leave out the queries that were served as they are."
    )
    value: float
    low: float = Field(description="Lower end of the 95 % interval (bootstrap over queries).")
    high: float = Field(description="Upper end of the 95 % interval.")
    n: int = Field(description="Queries behind the number.")
    seeds: int = Field(description="Training runs behind the number.")
    judge: str = Field(description="Backend and model that judged the text, and the reward model for rewards.")
