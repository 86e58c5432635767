"""The row of stage `rollout`."""

from schemas.base import Prompt


class Rollout(Prompt):
    """x -> p_1 .. p_K from the policy."""
