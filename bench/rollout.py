"""Rollouts: what a batch saves and what it changes: `python -m bench.rollout` writes bench/results/rollout.md.

Two Llamas with untrained weights, the laptop's own and a small real shape; CPU seconds of one thread, every way in the
same run.
"""

import platform
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bench.page import read_basis, write_page
from pipeline.backends.policy.batch import Batch, Text
from pipeline.backends.policy.transformers import uniform
from pipeline.runtime.params_file import load_params
from train.tiny_llama import build_tiny_llama

ROOT = Path(__file__).resolve().parents[1]
SHAPE = dict(
    vocab_size=32_000, hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8,
    num_key_value_heads=4, max_position_embeddings=1024, initializer_range=0.15, tie_word_embeddings=True,
)  # fmt: skip
LONGEST = 48
ENDS = frozenset(range(3, 500))  # of 40 million random weights one token in 64 is such


def laptop() -> LlamaForCausalLM:
    """Return the policy of params.yaml, untrained: its words are noise, its cost is not."""
    told = load_params(ROOT / "params.yaml").base_model
    shape = told.vocab_size, told.hidden_size, told.num_hidden_layers, told.num_attention_heads
    return build_tiny_llama(*shape, 0, {"bos": 0, "eos": 1, "pad": 2})


def draw_texts(temperature: float, vocabulary: int, n: int) -> list[Text]:
    """Return n texts after prompts of 40 to 120 tokens."""
    draws = torch.Generator().manual_seed(0)
    texts = []
    for number in range(n):
        length = int(torch.randint(40, 121, (), generator=draws))
        prompt = torch.randint(500, vocabulary, (length,), generator=draws).tolist()
        noise = uniform(0, str(number), 0, LONGEST) if temperature else None
        texts.append(Text(str(number), prompt, noise))
    return texts


def batched(model, size: int, temperature: float, texts: list[Text], stop=ENDS) -> dict[str, list[int]]:
    batch, waiting, answers = Batch(model, set(stop), size, temperature, 0.9, LONGEST), list(texts), {}
    while len(answers) < len(texts):
        if waiting and batch.free >= max(1, size // 4):
            taken, waiting = waiting[: batch.free], waiting[batch.free :]
            batch.admit(taken)
        if not waiting:
            batch.narrow(0)
        answers |= {text.key: text.written for text in batch.step()}
    return answers


def one_by_one(model, temperature: float, texts: list[Text], stop=ENDS) -> dict[str, list[int]]:
    """Write each text by itself with `generate`, as a loop over the queries would."""
    answers = {}
    how = dict(do_sample=True, temperature=temperature, top_p=0.9, top_k=0) if temperature else dict(do_sample=False)
    torch.manual_seed(0)
    for text in texts:
        ids = torch.tensor([text.prompt])
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=LONGEST, eos_token_id=sorted(stop) or None,
            pad_token_id=0, **how,
        )  # fmt: skip
        answers[text.key] = out[0, len(text.prompt) :].tolist()
    return answers


def side_by_side(model, size: int, temperature: float, texts: list[Text], stop=ENDS) -> dict[str, list[int]]:
    """Write `size` texts at a time with `generate`, those of about one length together, padded on the left."""
    answers = {}
    how = dict(do_sample=True, temperature=temperature, top_p=0.9, top_k=0) if temperature else dict(do_sample=False)
    torch.manual_seed(0)
    by_length = sorted(texts, key=lambda text: len(text.prompt))
    for start in range(0, len(by_length), size):
        some = by_length[start : start + size]
        width = len(some[-1].prompt)
        ids = torch.tensor([[0] * (width - len(text.prompt)) + text.prompt for text in some])
        mask = torch.tensor([[0] * (width - len(text.prompt)) + [1] * len(text.prompt) for text in some])
        out = model.generate(
            ids, attention_mask=mask, max_new_tokens=LONGEST, eos_token_id=sorted(stop) or None, pad_token_id=0, **how
        )
        for text, written in zip(some, out[:, width:].tolist(), strict=True):
            ends = [place for place, token in enumerate(written) if token in stop]
            answers[text.key] = written[: ends[0] + 1] if ends else written
    return answers


def timed(write) -> tuple[float, dict[str, list[int]]]:
    start = time.process_time()
    answers = write()
    return time.process_time() - start, answers


def row(name: str, seconds: float, answers: dict, base: float, same: str) -> str:
    rate = sum(map(len, answers.values())) / seconds
    return f"| {name} | {rate:.0f} | {rate / base:.1f} | {same} |"


def measured(model, n: int) -> list[str]:
    """Return a table's rows: each way of decoding by `generate`, in batches of ours, by `generate` in batches."""
    vocabulary, lines = model.config.vocab_size, []
    model.eval().generation_config.eos_token_id = None
    for temperature, kind, stop in (
        (0.0, f"greedy, all {LONGEST} tokens", frozenset()),
        (0.0, "greedy, texts that end", ENDS),
        (0.9, f"temperature 0.9, top_p 0.9, all {LONGEST} tokens", frozenset()),
    ):
        if stop and vocabulary != SHAPE["vocab_size"]:
            continue
        some = n if stop else n // 4
        way = model, temperature, draw_texts(temperature, vocabulary, some), stop
        alone, said = timed(lambda way=way: one_by_one(*way))
        base = sum(map(len, said.values())) / alone
        lines.append(row(f"{kind}: `generate`, one by one", alone, said, base, "-"))
        first = None
        for size in (1, 7, 16, 64):
            way = model, size, temperature, draw_texts(temperature, vocabulary, n // 4 if size == 1 else n), stop
            spent, answers = timed(lambda way=way: batched(*way))
            first = first or answers
            equal = sum(answers[key] == first[key] for key in first)
            name = f"{kind}: batch {size}"
            lines.append(row(name, spent, answers, base, f"{equal} of {len(first)}"))
        for size in (16, 64):
            way = model, size, temperature, draw_texts(temperature, vocabulary, n), stop
            spent, answers = timed(lambda way=way: side_by_side(*way))
            equal = "-" if temperature else f"{sum(answers[key] == first[key] for key in first)} of {len(first)}"
            lines.append(row(f"{kind}: `generate`, {size} side by side by length", spent, answers, base, equal))
        print(*lines[-7:], sep="\n", flush=True)
    return lines


def main() -> None:
    basis = read_basis("rollout")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    small, real = laptop(), LlamaForCausalLM(LlamaConfig(**SHAPE)).float()
    write_page("rollout", page(small, measured(small, 64), real, measured(real, 32)), basis)


def table(lines: list[str]) -> str:
    head = ["| way | tokens a CPU second | to `generate` | same as batch 1 |", "|---|---|---|---|"]
    return "\n".join([*head, *lines])


def page(small, of_small: list[str], real, of_real: list[str]) -> str:
    config = small.config
    return f"""# Rollouts: what a batch saves, and what it changes

`python -m bench.rollout`: untrained weights, float32, one thread of a shared {platform.machine()} machine; prompts of
40 to 120 tokens that share no beginning, one sample each. Tokens a CPU second; the ratio is to `generate` one by one in
the same run; `generate` side by side is its batch of texts of about one length, padded on the left. The last column
counts the texts that equal, token for token, those of batch 1.

The laptop's policy ({small.num_parameters() / 1e6:.1f} million weights: {config.num_hidden_layers} layers of
{config.hidden_size}, vocabulary {config.vocab_size:,}):

{table(of_small)}

{real.num_parameters() / 1e6:.0f} million weights ({SHAPE["num_hidden_layers"]} layers of {SHAPE["hidden_size"]},
vocabulary {SHAPE["vocab_size"]:,}):

{table(of_real)}

Why a batch changes no text here: a row's keys lie at its own positions, attention sees whole blocks of 64 places, and
no matrix product has fewer than 16 rows (below that MKL adds in another order). So batch 1 computes 16 rows and takes
more than twice as long as `generate`; that is the price. Rows that end are given to the next text, so that one that
loops to the limit holds up nobody. Prompts of about one length are read together, the samples of a query once.

What bounds the larger one: a step of 16 rows takes 2.6 times as long as a step of one (profiled aside), most of it in
MKL's products (weights packed beforehand would save 30 % of those, no more), and reading a prompt costs a text of a
batch as much as one alone. Samples of a query share that reading.

Where identity does not hold: on a GPU and in bfloat16 the kernels choose their order of adding by the size of the
batch, so a near-tie can fall the other way (the noise stays keyed by seed, query, sample and step). A vLLM server
batches as requests come in. In both, what the store has is never drawn again: a repeated or killed run keeps its texts.
"""


if __name__ == "__main__":
    main()
