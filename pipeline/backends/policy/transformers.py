"""A policy in this process: batched sampling with a KV cache, each sample's noise its own.

On the CPU in float32 a sample's text depends on (weights, template, query, settings, seed, sample) alone, whatever the
batch size, the order and the neighbours (see `batch`). On a GPU or in half precision the last bits depend on the batch,
so a near-tie can fall the other way; what the store has stays.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.policy.batch import Batch, Text
from pipeline.backends.policy.model_folder import model_revision
from pipeline.llm.chat_format import find_stop, prepare_tokenizer
from pipeline.llm.model_text import clean_prompt
from pipeline.llm.policy_answers import read_policy_outcome
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError
from pipeline.runtime.named_model import locate_model, read_chat_template
from pipeline.runtime.one_thread import use_one_thread
from pipeline.runtime.progress import hide_noise
from pipeline.runtime.store import Store, store_key
from schemas.base import Provenance, QueryBase
from schemas.params_policy import SamplingParams, TransformersPolicyParams
from schemas.reasons import Reason
from schemas.seams import Outcome


@dataclass
class Sample:
    """One answer to come; several samples are one where they would be the same text."""

    key: str
    depends: dict
    answer: dict | None


class Transformers:
    """Writes up to `batch_size` samples side by side; each is stored when it ends and never written again."""

    def __init__(self, folder: str | Path, params: TransformersPolicyParams, store: Store | None = None):
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError:
            raise DataError("the policy needs torch and transformers: pip install -e '.[train]'") from None
        self.batch_size, self.store = params.batch_size, store or Store()
        self.template = Template(params.template, needs=("query",))
        self.revision = model_revision(folder)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.name = Path(folder).name
        chat_template = read_chat_template(Path(folder))
        folder = locate_model(Path(folder))
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        prepare_tokenizer(self.tokenizer, chat_template, self.name)
        use_one_thread(folder)
        hide_noise()
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
        self.model = model.to(self.device).eval()
        self.window = attention_window(folder, self.model.config.get_text_config())
        stop = self.model.generation_config.eos_token_id
        stops = stop if isinstance(stop, list) else [stop]
        self.stop = {
            token for token in [*stops, self.tokenizer.eos_token_id, find_stop(self.tokenizer)] if token is not None
        }

    def map(self, queries: Iterable[QueryBase], k: int, sampling: SamplingParams, seed: int) -> Iterator[Outcome[str]]:
        batch = Batch(
            self.model, self.stop, self.batch_size, sampling.temperature, sampling.top_p, sampling.max_new_tokens
        )
        order: deque[Sample] = deque()  # what was asked for and is not yet told
        open_samples: dict[str, Sample] = {}  # of them those that have no answer
        waiting: list[Text] = []
        for query, number in ((query, number) for query in queries for number in range(k)):
            order.append(self.look_up(query, number, sampling, seed, open_samples, waiting))
            if len(waiting) == batch.free:
                self.write(batch, waiting, open_samples, at_least=max(1, self.batch_size // 4))
            yield from self.pop_finished(order)
        while order:
            batch.narrow(len(waiting))
            self.write(batch, waiting, open_samples, at_least=1)
            yield from self.pop_finished(order)

    def status(self) -> str:
        return ""

    def look_up(
        self,
        query: QueryBase,
        number: int,
        sampling: SamplingParams,
        seed: int,
        open_samples: dict[str, Sample],
        waiting: list[Text],
    ) -> Sample:
        depends = self.depends(query, number, sampling, seed)
        key = store_key("policy", **depends)
        if key in open_samples:
            return open_samples[key]
        sample = Sample(key, depends, self.store.get(key))
        if sample.answer is None:
            noise = uniform(seed, query.query_id, number, sampling.max_new_tokens) if sampling.temperature else None
            open_samples[key] = sample
            waiting.append(Text(key, self.tokens_of(query, sampling), noise))
        return sample

    def tokens_of(self, query: QueryBase, sampling: SamplingParams) -> list[int]:
        """Return the tokens that the answer to a query follows; the chat template writes its own first token."""
        words = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": self.template.fill(query=query.query)}],
            add_generation_prompt=True, tokenize=False,
        )  # fmt: skip
        tokens = self.tokenizer(words, add_special_tokens=False)["input_ids"]
        if self.window and len(tokens) + sampling.max_new_tokens > self.window:
            raise DataError(
                f"{self.name}: {len(tokens)} tokens and {sampling.max_new_tokens} to write are more than its window of "
                f"{self.window} sees; lower rollout.max_new_tokens, or serve it: vpo serve-policy"
            )
        return tokens

    def write(self, batch: Batch, waiting: list[Text], open_samples: dict[str, Sample], at_least: int) -> None:
        """Take in what waits and write until `at_least` more places are free; store what ends."""
        batch.admit(waiting)
        waiting.clear()
        wanted = min(self.batch_size, batch.free + at_least)
        while batch.free < wanted:
            if done := batch.step():
                ended = [open_samples.pop(text.key) for text in done]
                answers = [self.answer(text) for text in done]
                for sample, answer in zip(ended, answers, strict=True):
                    sample.answer = answer
                self.store.put_many(
                    (sample.key, "policy", sample.depends, answer)
                    for sample, answer in zip(ended, answers, strict=True)
                )

    def answer(self, text: Text) -> dict:
        tokens = text.written[:-1] if text.ended else text.written
        # with its special tokens: without them another turn's role would be a word of the film (see clean_reply)
        words = self.tokenizer.decode(tokens, skip_special_tokens=False)
        return {"text": words, "n_tokens": len(text.written), "ended": text.ended}

    def pop_finished(self, order: deque[Sample]) -> Iterator[Outcome[str]]:
        """Yield what is written of the first samples that were asked for, as far as none before is open."""
        while order and (answer := order[0].answer) is not None:
            yield self.outcome(order.popleft().key, answer)

    def outcome(self, key: str, answer: dict) -> Outcome[str]:
        by = Provenance(
            backend="transformers", model=self.name, revision=self.revision, template=self.template.hash, store_key=key
        )
        if not answer["ended"]:
            text = clean_prompt(answer["text"])
            return Outcome(
                by=by, reason=Reason.TRUNCATED, detail=f"no end after {answer['n_tokens']} tokens: {text[:200]}"
            )
        return read_policy_outcome(answer["text"], by)

    def depends(self, query: QueryBase, sample: int, sampling: SamplingParams, seed: int) -> dict:
        drawn = {"seed": seed, "query_id": query.query_id, "sample": sample} if sampling.temperature else {}
        return {
            "revision": self.revision,
            "template": self.template.hash,
            "query": query.query,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_new_tokens": sampling.max_new_tokens,
            **drawn,
        }


def attention_window(folder: str | Path, config: Any) -> int | None:
    """Return how far back the model looks, None for all. Raises DataError for layers that are no plain attention."""
    kinds = set(getattr(config, "layer_types", None) or []) - {"full_attention", "sliding_attention"}
    if kinds:
        raise DataError(f"{folder}: layers of kind {', '.join(sorted(kinds))}; serve it instead: vpo serve-policy")
    return getattr(config, "sliding_window", None)


def uniform(seed: int, query_id: str, sample: int, n: int) -> np.ndarray:
    """Return n uniform numbers in [0, 1) that belong to one sample alone; step t reads the t-th."""
    key = hashlib.sha256(f"rollout/{seed}/{query_id}/{sample}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big"))).random(n)
