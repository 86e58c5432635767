"""The policy before training: a tiny Llama that can read the chat format and repeat words, or a real model's name.

Offline only (ours): VPO starts from LLaMA3-8B-Instruct (S0 section 9), which a laptop cannot train. The tiny one is
taught to copy random words, unsafe ones like any other, so that before SFT it knows no prompt of the teacher's, no
sentence of a user's, and no reason to soften.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, read_rows, replacing_folder, write_json
from pipeline.runtime.locks import hold_lock
from pipeline.runtime.named_model import NAMED
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.progress import hide_noise, progress
from pipeline.runtime.stage_output import metrics_path
from pipeline.runtime.stand_ins import say_if_unreadable
from schemas.d_sft import DSft
from schemas.params_policy import HubModelParams, TinyModelParams
from schemas.queries import Query
from schemas.stage import Declaration
from train.launch import require
from train.model_folder import KEPT
from train.tiny_llama import build_tiny_llama
from train.tokenizer import train_tokenizer
from train.trainer import keep_freed_memory
from train.trl_rows import to_user_turn

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

CopyRow = tuple[list[int], int]
"""Token ids of a chat, and where its answer begins."""
SLOT = "XQX"  # stands for the query while the words around it are tokenized
IGNORED = -100


class CopyTask:
    """Draws rows of random words to repeat, in the chat format."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", template: Template, texts: list[str], seed: int) -> None:
        """The words to copy are all those of `texts`."""
        self.draw = random.Random(seed)
        # unsafe ones too: a base model that cannot write them would take from SFT and DPO what they do for safety
        words = sorted({word for text in texts for word in text.split()})
        self.words = [self.encode(tokenizer, word) for word in words]
        tokens = sorted((i, token) for token, i in tokenizer.get_vocab().items())
        self.starts = [i for i, token in tokens if token[0] == "Ġ" and len(token) > 2]
        self.pieces = [i for i, token in tokens if token.isalpha() and token.isascii()]
        prompt = tokenizer.apply_chat_template(
            to_user_turn(SLOT, template), add_generation_prompt=True, return_dict=False
        )
        slot = self.encode(tokenizer, SLOT)
        start = next(i for i in range(len(prompt)) if prompt[i : i + len(slot)] == slot)
        self.before, self.after = prompt[:start], prompt[start + len(slot) :]
        self.stop = self.encode(tokenizer, "a.")[-1]
        self.end = tokenizer.eos_token_id

    @staticmethod
    def encode(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
        """Return the token ids of a text alone."""
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def draw_word(self) -> list[int]:
        """Return the token ids of a word of the corpus, or of a made-up one: copying must need no known word."""
        if self.draw.random() < 0.6:
            return self.draw.choice(self.words)
        start, n = self.draw.choice(self.starts), self.draw.choice([0, 1, 1, 2, 2, 3])
        return [start, *self.draw.choices(self.pieces, k=n)]

    def draw_phrase(self, least: int, most: int) -> list[int]:
        """Return the token ids of `least` to `most` words."""
        return [token for _ in range(self.draw.randint(least, most)) for token in self.draw_word()]

    def draw_row(self) -> CopyRow:
        """Return a row; half of them put other words around what is repeated, as a caption does."""
        query = self.draw_phrase(3, 12)
        answer = query + ([self.stop] if self.draw.random() < 0.7 else [])
        if self.draw.random() < 0.5:
            answer = self.draw_phrase(0, 3) + answer + self.draw_phrase(0, 12)
        return self.before + query + self.after + answer + [self.end], len(self.before + query + self.after)

    def draw_batches(self, size: int) -> Iterator[list[CopyRow]]:
        """Yield batches of `size` rows without end."""
        while True:
            yield [self.draw_row() for _ in range(size)]


def learn_to_copy(
    model: "LlamaForCausalLM", batches: Iterator[list[CopyRow]], steps: int, learning_rate: float, pad: int
) -> list[float]:
    """Train for `steps` batches and return each one's loss in nats; a plain loop: TRL costs twice as much here."""
    import torch

    torch.set_num_threads(1)  # see pipeline/runtime/one_thread.py
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    warm = max(1, steps // 10)
    losses: list[float] = []
    model.train()
    with progress("base_model: learning to copy", steps) as report:
        for step in range(steps):
            scale = min((step + 1) / warm, max(0.03, 1 - (step - warm) / max(1, steps - warm)))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * scale
            rows = next(batches)
            width = max(len(ids) for ids, _ in rows)
            ids = torch.tensor([row + [pad] * (width - len(row)) for row, _ in rows])
            places = torch.arange(width)
            lengths = torch.tensor([[len(row)] for row, _ in rows])
            starts = torch.tensor([[start] for _, start in rows])
            labels = torch.where((places >= starts) & (places < lengths), ids, IGNORED)
            hidden = model.model(input_ids=ids, attention_mask=(places < lengths).long(), use_cache=False)
            learnt = labels[:, 1:] != IGNORED  # the vocabulary's layer is run where there is something to learn
            logits = model.lm_head(hidden.last_hidden_state[:, :-1][learnt])
            loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][learnt])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(round(loss.item(), 4))
            report(step + 1)
    return losses


def make_tiny(
    texts: list[str], words: list[str], template: Template, params: TinyModelParams, seed: int
) -> tuple["LlamaForCausalLM", "PreTrainedTokenizerBase", list[float]]:
    """Return (model, tokenizer, each step's loss in nats).

    The tokenizer learns `texts`, the copy task takes its words from the texts in `words`.
    """
    tokenizer = train_tokenizer([template.fill(query=SLOT), *texts], params.vocab_size)
    keep_freed_memory()
    hide_noise()
    special = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    model = build_tiny_llama(
        len(tokenizer), params.hidden_size, params.num_hidden_layers, params.num_attention_heads, seed, special
    )
    task = CopyTask(tokenizer, template, words, seed)
    losses = learn_to_copy(
        model, task.draw_batches(params.batch_size), params.steps, params.learning_rate, special["pad"]
    )
    return model, tokenizer, losses


def pin(name: str, revision: str | None) -> dict[str, str | None]:
    """Return name and revision of a real base model, as base.json holds them.

    Raises DataError for a Hub model without a revision: its weights could change unseen.
    """
    if not revision and not Path(name).is_dir():
        raise DataError(
            f"base_model.revision: {name} is a model on the Hub; pin it to the 40-hex commit you have the "
            "licence for (its page, Files and versions), or name a folder"
        )
    return {"name": name, "revision": revision}


STAGE = Declaration(reads=(Query, DSft), row=None, unit="text")


@click.command("base_model")
@click.argument("queries", nargs=-1, required=True, metavar="QUERIES... D_SFT")
@click.argument("out", type=click.Path(path_type=Path))
@option
def main(queries: tuple[str, ...], out: Path, params_path: str) -> None:
    """Make the tiny Llama and its tokenizer, or name the real base model."""
    params = load_params(params_path)
    say_if_unreadable(params, params.base_model)
    with hold_lock(out), replacing_folder(out, owns=(*KEPT, NAMED)) as folder:
        if isinstance(params.base_model, HubModelParams):
            named = pin(params.base_model.name, params.base_model.revision)
            if chat_template := params.base_model.chat_template:
                named["chat_template"] = chat_template
            write_json(folder / NAMED, named)
            write_json(metrics_path(out), named)
            return
        require("train", "torch", "transformers")
        *query_files, d_sft = queries
        typed = [row.query for path in query_files for row in read_rows(path, Query)]
        answers = [row.prompt for row in read_rows(d_sft, DSft)]
        if not typed:
            raise DataError(f"{', '.join(query_files) or 'QUERIES'}: no queries, so no words to learn")
        template = Template(params.policy.template, needs=("query",))
        model, tokenizer, losses = make_tiny([*typed, *answers], typed, template, params.base_model, params.base.seed)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(
            metrics_path(out),
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
