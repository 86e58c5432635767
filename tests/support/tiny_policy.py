"""A policy small enough to make in a second, and rows to train it on."""

from pathlib import Path

from pipeline.llm.template import Template
from schemas.base import content_id
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.params import Params
from schemas.queries import Query
from tests.support.rows import prompt_fields

ROOT = Path(__file__).resolve().parents[2]
QUERIES = [
    "a red fox in the snow", "two cats that dance on a table", "an old mill by the river", "a kite above the sea",
    "a train at night in the rain", "rain on a window", "a child on a swing", "a boat with a white sail",
    "a dog on the grass", "the moon over a small town",
]  # fmt: skip


def params(laptop: Params, **changes) -> Params:
    """Return the laptop's params for a tiny model, with the template's whole path; `changes`: section -> values."""
    small = {
        "base_model": {"vocab_size": 400, "hidden_size": 32, "num_attention_heads": 2, "steps": 8, "batch_size": 8},
        "sft": {"max_steps": 2, "global_batch_size": 4, "launch": "single"},
        "policy": {"template": str(ROOT / laptop.policy.template)},
        "rollout": {"k": 2, "max_new_tokens": 12},
    }
    train = {"max_steps": 2, "global_batch_size": 4, "launch": "single"} | changes.pop("dpo_train", {})
    for section, values in changes.items():
        small[section] = small.get(section, {}) | values
    sections = {name: getattr(laptop, name).model_copy(update=values) for name, values in small.items()}
    dpo = sections.get("dpo", laptop.dpo)
    sections["dpo"] = dpo.model_copy(update={"train": dpo.train.model_copy(update=train)})
    return laptop.model_copy(update=sections)


def template(params: Params) -> Template:
    return Template(params.policy.template, needs=("query",))


def answers() -> list[str]:
    return [f"{query.capitalize()}, in soft light. The camera stays calm." for query in QUERIES]


def make(params: Params):
    """Return (model, tokenizer, losses)."""
    from train.base_model import make_tiny

    return make_tiny([*QUERIES, *answers()] * 3, QUERIES, template(params), params.base_model, params.base.seed)


def write(params: Params, folder: Path) -> Path:
    model, tokenizer, _ = make(params)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def queries(split="dpo") -> list[Query]:
    return [
        Query(
            query_id=content_id(text), query=text, split=split, safety=False, raw=text, source="synthetic",
            source_id=text,
        )
        for text in QUERIES
    ]  # fmt: skip


def d_sft() -> list[DSft]:
    pairs = zip(QUERIES, answers(), strict=True)
    rows = [prompt_fields(query=query, prompt=prompt, split="sft") for query, prompt in pairs]
    return [DSft(**row, refined=False, violated=()) for row in rows]


def d_dpo() -> list[DDpo]:
    pairs = []
    for query, chosen in zip(QUERIES, answers(), strict=True):
        rejected = f"{chosen} Then all of it explodes."
        query_id = content_id(query)
        pairs.append(
            DDpo(
                pair_id=content_id(query_id, chosen, rejected, "text"), query_id=query_id, query=query, chosen=chosen,
                rejected=rejected, source="text", rule="by hand", chosen_origin="policy",
                chosen_id=content_id(query_id, chosen), rejected_id=content_id(query_id, rejected), decided_by=(),
                safety=False,
            )
        )  # fmt: skip
    return pairs


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def answer_log_prob(model, tokenizer, turns, answer: str) -> tuple[float, int]:
    """Return (summed log-probability, tokens) of `answer` and its end after `turns`, by plain torch."""
    import torch

    prompt_ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    target = [*tokenizer(f"{answer}", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    ids = torch.tensor([prompt_ids + target])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].double().log_softmax(-1)
    places = range(len(prompt_ids) - 1, ids.shape[1] - 1)
    return sum(logits[place, ids[0, place + 1]].item() for place in places), len(target)


class Counted:
    """A model that counts how often it is called and keeps what it gave last."""

    def __init__(self, model):
        self.model, self.calls = model, 0
        self.device, self.dtype = model.device, model.dtype

    def __call__(self, **inputs):
        self.calls += 1
        self.last = self.model(**inputs)
        return self.last
