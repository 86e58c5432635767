"""The policy before training: a tiny Llama that can read the chat format and repeat words, or a real model's name.

Offline only (ours): VPO starts from LLaMA3-8B-Instruct (S0 section 9), which a laptop cannot train. The tiny one is
taught to copy random words, so that it knows no prompt of the teacher's and no sentence of a user's before SFT.
"""

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, beside, locked, read_rows, replacing_folder, write_json
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.progress import progress
from pipeline.world.lexicon import UNSAFE
from schemas.d_sft import DSft
from schemas.params import BaseModelParams
from schemas.queries import Query
from schemas.stage import Declaration
from train.base import NAMED
from train.run import keep_freed_memory, quiet, require
from train.tiny_llama import tiny_llama
from train.tokenizer import train_tokenizer
from train.trl_rows import instruction

SLOT = "XQX"  # stands for the query while the words around it are tokenized
IGNORED = -100


def unsafe(word: str) -> bool:
    return any(part in UNSAFE for part in re.findall(r"\w+", word.lower()))


class CopyTask:
    """Rows of random words to repeat, in the chat format: (token ids, where the answer begins)."""

    def __init__(self, tokenizer, template: Template, texts: list[str], seed: int):
        self.draw = random.Random(seed)
        # a model that copies everything would copy what it should soften: unsafe words are not practised
        words = sorted({word for text in texts for word in text.split() if not unsafe(word)})
        self.words = [self.ids(tokenizer, word) for word in words]
        self.tokens = {i: token for token, i in tokenizer.get_vocab().items()}
        tokens = sorted(self.tokens.items())
        self.starts = [i for i, token in tokens if token[0] == "Ġ" and len(token) > 2 and not unsafe(token[1:])]
        self.pieces = [i for i, token in tokens if token.isalpha() and token.isascii()]
        asked = tokenizer.apply_chat_template(
            instruction(SLOT, template), add_generation_prompt=True, return_dict=False
        )
        slot = self.ids(tokenizer, SLOT)
        at = next(i for i in range(len(asked)) if asked[i : i + len(slot)] == slot)
        self.before, self.after = asked[:at], asked[at + len(slot) :]
        self.stop = self.ids(tokenizer, "a.")[-1]
        self.end = tokenizer.eos_token_id

    @staticmethod
    def ids(tokenizer, text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def word(self) -> list[int]:
        """Return a word of the corpus, or one that does not exist: copying must not need to know it."""
        if self.draw.random() < 0.6:
            return self.draw.choice(self.words)
        while True:
            start, n = self.draw.choice(self.starts), self.draw.choice([0, 1, 1, 2, 2, 3])
            made = [start, *self.draw.choices(self.pieces, k=n)]
            if not unsafe("".join(self.tokens[i] for i in made)[1:]):
                return made

    def phrase(self, least: int, most: int) -> list[int]:
        return [token for _ in range(self.draw.randint(least, most)) for token in self.word()]

    def row(self) -> tuple[list[int], int]:
        """Half of the rows put other words around what is repeated, as a caption does."""
        query = self.phrase(3, 12)
        answer = query + ([self.stop] if self.draw.random() < 0.7 else [])
        if self.draw.random() < 0.5:
            answer = self.phrase(0, 3) + answer + self.phrase(0, 12)
        return self.before + query + self.after + answer + [self.end], len(self.before + query + self.after)

    def batches(self, size: int) -> Iterator[list[tuple[list[int], int]]]:
        while True:
            yield [self.row() for _ in range(size)]


def learn_to_copy(model, batches, params: BaseModelParams, pad: int) -> list[float]:
    """Train by a fixed number of steps and return each one's loss; a plain loop: TRL costs twice as much here."""
    import torch

    torch.set_num_threads(1)  # see pipeline/runtime/one_thread.py
    optimizer = torch.optim.AdamW(model.parameters(), lr=params.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    warm = max(1, params.steps // 10)
    found = []
    model.train()
    with progress("base_model: learning to copy", params.steps) as at:
        for step in range(params.steps):
            scale = min((step + 1) / warm, max(0.03, 1 - (step - warm) / max(1, params.steps - warm)))
            for group in optimizer.param_groups:
                group["lr"] = params.learning_rate * scale
            rows = next(batches)
            width = max(len(ids) for ids, _ in rows)
            ids = torch.tensor([row + [pad] * (width - len(row)) for row, _ in rows])
            places = torch.arange(width)
            lengths = torch.tensor([[len(row)] for row, _ in rows])
            starts = torch.tensor([[start] for _, start in rows])
            labels = torch.where((places >= starts) & (places < lengths), ids, IGNORED)
            hidden = model.model(input_ids=ids, attention_mask=(places < lengths).long(), use_cache=False)
            known = labels[:, 1:] != IGNORED  # the vocabulary's layer is run where there is something to learn
            logits = model.lm_head(hidden.last_hidden_state[:, :-1][known])
            loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][known])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            found.append(round(loss.item(), 4))
            at(step + 1)
    return found


def tiny(texts: list[str], words: list[str], template: Template, params: BaseModelParams, seed: int):
    """Return (model, tokenizer, losses): the tokenizer learns `texts`, the copy task takes its words from `words`."""
    asked = [template.fill(query=SLOT)]
    tokenizer = train_tokenizer([*asked, *texts], params.vocab_size)
    keep_freed_memory()
    quiet()
    special = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    size = len(tokenizer)
    model = tiny_llama(size, params.hidden_size, params.num_hidden_layers, params.num_attention_heads, seed, special)
    task = CopyTask(tokenizer, template, words, seed)
    losses = learn_to_copy(model, task.batches(params.batch_size), params, special["pad"])
    return model, tokenizer, losses


def pinned(params: BaseModelParams) -> dict[str, str | None]:
    """Return name and revision of a real base model. Raises DataError for one whose weights could change unseen."""
    if not params.revision and not Path(params.name).is_dir():
        raise DataError(
            f"base_model.revision: {params.name} is a model on the Hub; pin it to the 40-hex commit you have the "
            "licence for (its page, Files and versions), or name a folder"
        )
    return {"name": params.name, "revision": params.revision}


STAGE = Declaration(reads=(Query, DSft), row=None, unit="text")


@click.command("base_model")
@click.argument("queries", nargs=-1, required=True, metavar="QUERIES... D_SFT")
@click.argument("out", type=click.Path(path_type=Path))
@option
def main(queries, out, params_path):
    """Make the tiny Llama and its tokenizer, or name the real base model."""
    params = load_params(params_path)
    with locked(out), replacing_folder(out) as folder:
        if params.base_model.backend == "hub":
            named = pinned(params.base_model)
            write_json(folder / NAMED, named)
            write_json(beside(out)[1], named)
            return
        require("train", "torch", "transformers")
        *asked, d_sft = queries
        typed = [row.query for path in asked for row in read_rows(path, Query)]
        answers = [row.prompt for row in read_rows(d_sft, DSft)]
        if not typed:
            raise DataError(f"{', '.join(asked) or 'QUERIES'}: no queries, so no words to learn")
        template = Template(params.policy.template, needs=("query",))
        model, tokenizer, losses = tiny([*typed, *answers], typed, template, params.base_model, params.base.seed)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(
            beside(out)[1],
            {
                "parameters": model.num_parameters(),
                "vocabulary": len(tokenizer),
                "steps": len(losses),
                "loss": losses[::20],
            },
        )
        click.echo(f"  base_model: {model.num_parameters():,} weights, copy loss {losses[0]} -> {losses[-1]}", err=True)


if __name__ == "__main__":
    sys.exit(main())
