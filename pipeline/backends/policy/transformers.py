"""A policy in this process: batched sampling with a KV cache, each sample's noise its own."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from pipeline.backends import Outcome
from pipeline.backends.policy import model_revision
from pipeline.io import DataError
from pipeline.one_thread import one_thread
from pipeline.store import Store, store_key
from pipeline.words import Template
from schemas.base import Provenance, QueryBase
from schemas.params import Policy as PolicyParams
from schemas.params import Rollout as Sampling
from schemas.reasons import Reason

Task = tuple[QueryBase, int]
LIKELY = 256  # a nucleus is nearly always inside so many tokens, and finding them costs a tenth of sorting all


class Transformers:
    """Samples in batches cut at fixed places, so that a run that was killed meets the same batches again."""

    def __init__(self, folder: str | Path, params: PolicyParams, store: Store | None = None):
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError:
            raise DataError("sampling from the policy needs torch and transformers: pip install 'vpo[train]'") from None
        self.batch_size, self.store = params.batch_size, store or Store()
        self.template = Template(params.template, needs=("query",))
        self.revision = model_revision(folder)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        if not self.tokenizer.chat_template:
            raise DataError(f"{folder}: the tokenizer has no chat template, so the policy cannot be asked")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        one_thread(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
        self.model = model.to(self.device).eval()
        stop = self.model.generation_config.eos_token_id
        stops = stop if isinstance(stop, list) else [stop]
        self.stop = {token for token in [*stops, self.tokenizer.eos_token_id] if token is not None}
        self.name = Path(folder).name

    def map(self, queries: Iterable[QueryBase], k: int, sampling: Sampling, seed: int) -> Iterator[Outcome[str]]:
        tasks = ((query, sample) for query in queries for sample in range(k))
        while batch := list(islice(tasks, self.batch_size)):
            yield from self.batch(batch, sampling, seed)

    def status(self) -> str:
        return ""

    def batch(self, tasks: list[Task], sampling: Sampling, seed: int) -> Iterator[Outcome[str]]:
        """Yield the batch's outcomes; with one sample missing in the store the whole batch is sampled again.

        What the store has stays as it is: in a batch of other neighbours a float's last bit can make another text.
        """
        asked = [self.depends(query, sample, sampling, seed) for query, sample in tasks]
        keys = [store_key("policy", **depends) for depends in asked]
        answers = [self.store.get(key) for key in keys]
        if None in answers:
            drawn = self.sample(tasks, sampling, seed)
            self.store.put_many((key, "policy", what, new) for key, what, new in zip(keys, asked, drawn, strict=True))
            answers = [old or new for old, new in zip(answers, drawn, strict=True)]
        for key, answer in zip(keys, answers, strict=True):
            yield self.outcome(key, answer)

    def outcome(self, key: str, answer: dict) -> Outcome[str]:
        by = Provenance(
            backend="transformers", model=self.name, revision=self.revision, template=self.template.hash, store_key=key
        )
        text = " ".join(answer["text"].split())
        if not answer["ended"]:
            return Outcome(
                by=by, reason=Reason.TRUNCATED, detail=f"no end after {answer['n_tokens']} tokens: {text[:200]}"
            )
        if not text:
            return Outcome(by=by, reason=Reason.EMPTY)
        return Outcome(value=text, by=by)

    def depends(self, query: QueryBase, sample: int, sampling: Sampling, seed: int) -> dict:
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

    def sample(self, tasks: list[Task], sampling: Sampling, seed: int) -> list[dict]:
        """Return {text, n_tokens, ended} a task: one forward a step for the whole batch."""
        import numpy as np
        import torch

        prompts = [
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": self.template.fill(query=query.query)}],
                add_generation_prompt=True, tokenize=False,
            )
            for query, _ in tasks
        ]  # fmt: skip
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(self.device)
        noise = np.stack([uniform(seed, query.query_id, sample, sampling.max_new_tokens) for query, sample in tasks])
        mask, ids = inputs.attention_mask, inputs.input_ids
        places = (mask.cumsum(1) - 1).clamp(min=0)
        written: list[list[int]] = [[] for _ in tasks]
        rows = torch.arange(len(tasks))  # those that are still being written
        stop = torch.tensor(sorted(self.stop), device=self.device)
        cache = None
        with torch.inference_mode():
            for at in range(sampling.max_new_tokens):
                out = self.model(
                    input_ids=ids, position_ids=places, attention_mask=mask, past_key_values=cache, use_cache=True,
                    logits_to_keep=1,
                )  # fmt: skip
                cache = out.past_key_values
                u = torch.from_numpy(noise[rows.numpy(), at]).to(self.device)
                chosen = draw(out.logits[:, -1].float(), u, sampling.temperature, sampling.top_p)
                for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
                    written[row].append(token)
                going = ~torch.isin(chosen, stop)
                if not going.any():
                    break
                ids, places = chosen[:, None], places[:, -1:] + 1
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
                if not going.all():  # a finished row would be computed until the last one ends
                    kept = going.nonzero()[:, 0]
                    cache.batch_select_indices(kept)
                    ids, places, mask, rows = ids[kept], places[kept], mask[kept], rows[kept.cpu()]
        answers = []
        for tokens in written:
            ended = tokens[-1] in self.stop
            text = self.tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=True)
            answers.append({"text": text, "n_tokens": len(tokens), "ended": ended})
        return answers


def uniform(seed: int, query_id: str, sample: int, n: int):
    """Return n uniform numbers in [0, 1) that belong to one sample alone; step t reads the t-th."""
    import numpy as np

    key = hashlib.sha256(f"rollout/{seed}/{query_id}/{sample}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big"))).random(n)


def draw(logits, u, temperature: float, top_p: float):
    """Return one token id a row: the most likely at temperature 0, else by inverse CDF inside the top_p nucleus.

    logits: (batch, vocabulary), u: (batch,) in [0, 1).
    """
    import torch

    if temperature == 0:
        return logits.argmax(-1)
    chances = torch.softmax(logits / temperature, -1)
    likely, ids = chances.topk(min(LIKELY, chances.shape[-1]))
    chosen = pick(likely, ids, u, top_p)
    wide = likely.sum(-1) < top_p  # each row by itself, or its neighbours would decide how it is drawn
    if wide.any():
        likely, ids = chances[wide].sort(dim=-1, descending=True, stable=True)
        chosen[wide] = pick(likely, ids, u[wide], top_p)
    return chosen


def pick(likely, ids, u, top_p: float):
    """Return of each row the token that u falls on; `likely` are chances in falling order, `ids` their tokens."""
    import torch

    likely = likely.double()
    before = likely.cumsum(-1) - likely
    reached = torch.where(before < top_p, likely, 0.0).cumsum(-1)
    place = (reached <= (u * reached[:, -1])[:, None]).sum(-1).clamp(max=ids.shape[1] - 1)
    return ids.gather(1, place[:, None])[:, 0]
