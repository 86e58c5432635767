"""What stage rollout would ask for money: an arm's own LLM, or a policy that somebody serves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from pipeline.backends.policy.openai import OpenAI, name_served
from pipeline.evaluation.prompt_sources import arm_messages, ask_llm
from pipeline.llm.calls.engine import Engine
from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows
from pipeline.runtime.store import Store
from schemas.base import QueryBase
from schemas.fewshot import Exemplar
from schemas.params import LlmArmParams, Params
from schemas.params_policy import OpenAIPolicyParams, PolicyEndpointParams, SamplingParams
from schemas.queries import Query
from schemas.seams import Messages, Teacher
from vpo.planning.lookup import Calls, Lookup
from vpo.unroll import Stage


def ask_arm(
    arm: LlmArmParams, queries: Sequence[Query], teacher: Teacher, exemplars: str
) -> Callable[[QueryBase], Messages]:
    """Ask a teacher what the arm's own LLM would be asked; return what is sent for a query."""
    template, shown = Template(arm.source, needs=("query",)), list(read_rows(exemplars, Exemplar))
    list(ask_llm(queries, teacher, template, shown, "arm"))
    return arm_messages(template, shown)


class Served:
    """A policy behind an endpoint that takes money, as stage `stage` asks it; `folder` are the weights it serves."""

    def __init__(self, params: Params, stage: Stage, folder: str):
        self.folder, self.seed = folder, params.base.seed
        self.policy = cast("OpenAIPolicyParams", params.policy)
        self.template = Template(self.policy.template, needs=("query",))
        self.model = name_served(self.policy, folder).model
        is_arm = "--arm" in stage.options
        self.k = 1 if is_arm else params.rollout.k
        self.sampling: SamplingParams = params.optimize if is_arm else params.rollout

    @property
    def samples(self) -> int:
        """The prompts that one request is answered with."""
        return self.k if self.sampling.temperature else 1

    @property
    def is_there(self) -> bool:
        """Whether the weights are, which a stored answer is looked up by."""
        return any(Path(self.folder).glob("*.safetensors"))

    def look_up(self, queries: Sequence[Query], store: Store, planned: set[str]) -> Calls:
        """Return the requests for these queries, and which of them the store answers."""
        calls = Calls()

        def look(endpoint: PolicyEndpointParams, revision: str) -> Engine:
            # the two methods of an Engine that the backend calls
            return cast("Engine", Lookup(endpoint, store, calls, planned, "policy", revision, "rollout"))

        list(OpenAI(self.folder, self.policy, store, look).map(queries, self.k, self.sampling, self.seed))
        return calls

    def characters(self, row: QueryBase) -> int:
        """Return the characters that are sent for a query."""
        return len(self.template.fill(query=row.query))
