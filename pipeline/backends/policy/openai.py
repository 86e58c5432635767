"""A policy that a server runs, asked through the paid-call engine, K samples a request.

With vLLM: `vllm serve data/models/sft --served-model-name sft`. The server draws; its `seed` is (seed, query_id), so
that a sample does not depend on what is asked beside it as far as the server's kernels allow. A stored answer is never
drawn again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.backends.policy.model_folder import model_revision
from pipeline.llm.calls.answers import Answer, read_answers
from pipeline.llm.calls.engine import Engine
from pipeline.llm.policy_answers import read_policy_outcome
from pipeline.llm.template import Template
from pipeline.runtime.store import Store
from schemas.base import Provenance, QueryBase
from schemas.params_policy import OpenAIPolicyParams, PolicyEndpointParams, SamplingParams
from schemas.reasons import Reason
from schemas.seams import Outcome


def name_served(params: OpenAIPolicyParams, folder: str | Path) -> PolicyEndpointParams:
    """Return the endpoint with the name under which it serves the weights in `folder`."""
    model = params.endpoint.model.replace("{folder}", Path(folder).name)
    return params.endpoint.model_copy(update={"model": model})


class OpenAI:
    """Asks for all samples of a query at once; the weights in `folder` stand for what the server serves."""

    def __init__(
        self,
        folder: str | Path,
        params: OpenAIPolicyParams,
        store: Store | None = None,
        engine: Callable[[PolicyEndpointParams, str], Engine] | None = None,
    ):
        """`engine` makes another one than the engine that buys, of the endpoint and the revision of the weights."""
        self.params, self.template = params, Template(params.template, needs=("query",))
        # the served name says nothing of the weights behind it
        self.revision = model_revision(folder)
        endpoint = name_served(params, folder)
        self.engine = engine(endpoint, self.revision) if engine else Engine("policy", endpoint, store, self.revision)

    def map(self, queries: Iterable[QueryBase], k: int, sampling: SamplingParams, seed: int) -> Iterator[Outcome[str]]:
        async def ask(query: QueryBase) -> list[Outcome[str]]:
            bought = await self.engine.answer(self.body(query, k, sampling, seed))
            if bought.stored is None:
                return [Outcome(reason=Reason.FAILED, detail=bought.why)] * k
            answers = read_answers(bought.stored)
            # a question that was filtered as a whole has one answer, and so has a greedy one
            return [self.outcome(bought.key, answers[min(sample, len(answers) - 1)]) for sample in range(k)]

        for outcomes in self.engine.map(queries, ask):
            yield from outcomes

    def status(self) -> str:
        return self.engine.status()

    def outcome(self, key: str, answer: Answer) -> Outcome[str]:
        by = Provenance(
            backend="openai", model=self.engine.params.model, revision=self.revision, template=self.template.hash,
            store_key=key,
        )  # fmt: skip
        if answer.reason:
            return Outcome(by=by, reason=answer.reason, detail=answer.detail[:500])
        return read_policy_outcome(answer.text, by)

    def body(self, query: QueryBase, k: int, sampling: SamplingParams, seed: int) -> dict[str, Any]:
        """Return what is sent; every sampling field is, since vLLM else takes those of generation_config (facts F4)."""
        drawn = hashlib.sha256(f"rollout/{seed}/{query.query_id}".encode()).digest()
        return {
            "model": self.engine.params.model,
            "messages": [{"role": "user", "content": self.template.fill(query=query.query)}],
            "n": k if sampling.temperature else 1,  # vLLM refuses more than one greedy answer
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": int.from_bytes(drawn[:4], "big") >> 1,
        }
