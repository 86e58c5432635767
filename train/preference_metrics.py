"""What DPO did to the pairs, source by source: on pairs of queries kept out of training, and on some it trained on."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from pipeline.runtime.io import write_json
from schemas.base import Pair, content_id

MEASURED = 200  # pairs at most of those that were trained on
WRITTEN = 16  # queries whose greedy answer is measured before and after
MOST_TOKENS = 160


def split_by_query(pairs: Sequence[Pair], share: float) -> tuple[list[int], list[int]]:
    """Return the positions of the pairs to train on and of those kept out: a query is whole on one side."""
    limit = share * 16**16
    held = [int(content_id(pair.query_id, "held out"), 16) < limit for pair in pairs]
    return [at for at, out in enumerate(held) if not out], [at for at, out in enumerate(held) if out]


def some(pairs: Sequence[Pair], n: int = MEASURED) -> list[int]:
    """Return the positions of `n` pairs, the same ones in every run."""
    return sorted(sorted(range(len(pairs)), key=lambda at: content_id(pairs[at].pair_id, "some"))[:n])


def log_probs(trainer, dataset) -> list[tuple[float, float, float, float]]:
    """Return each pair's summed log-probability (policy chosen, rejected, reference chosen, rejected)."""
    import torch

    model = trainer.model_wrapped
    model.eval()
    found = []
    for batch in trainer.get_eval_dataloader(dataset):
        batch = trainer._prepare_inputs(batch)
        if "ref_chosen_logps" in batch:
            reference = batch["ref_chosen_logps"], batch["ref_rejected_logps"]
        else:
            reference = trainer.compute_ref_log_probs(trainer.ref_model or model, batch)
        told = {key: value for key, value in batch.items() if key in ("input_ids", "attention_mask")}
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        with torch.no_grad(), trainer.accelerator.autocast():
            said = model(**told, labels=labels, use_cache=False, fused_lm_head=True).log_probs.sum(1)
        both = torch.stack([*said.chunk(2), *reference], 1).float()
        found += trainer.accelerator.gather_for_metrics(both).tolist()
    return [tuple(row) for row in found]


def by_source(pairs: Sequence[Pair], measured: Sequence[tuple], tokens: Sequence[tuple[int, int]], beta: float) -> dict:
    """Return source -> what DPO did to its pairs; margins in units of beta's reward, log-probabilities in nats."""
    told = {}
    for source in sorted({pair.source for pair in pairs}):
        mine = [at for at, pair in enumerate(pairs) if pair.source == source]
        moved = [(measured[at][0] - measured[at][2], measured[at][1] - measured[at][3]) for at in mine]
        margins = [beta * (chosen - rejected) for chosen, rejected in moved]
        longer = [tokens[at][0] - tokens[at][1] for at in mine]
        # texts that the reference wrote itself: their fall in log-probability estimates KL(reference || policy)
        own = [
            -change / n
            for at, changes in zip(mine, moved, strict=True)
            for change, n, wrote in zip(changes, tokens[at], (pairs[at].chosen_origin == "policy", True), strict=True)
            if wrote
        ]
        told[source] = {
            "pairs": len(mine),
            "margin": round(fmean(margins), 6),
            "accuracy": round(fmean(margin > 0 for margin in margins), 6),
            "chosen_log_prob_change": round(fmean(chosen for chosen, _ in moved), 6),
            "rejected_log_prob_change": round(fmean(rejected for _, rejected in moved), 6),
            "kl_per_token": round(fmean(own), 6),
            "tokens_chosen": round(fmean(tokens[at][0] for at in mine), 3),
            "tokens_rejected": round(fmean(tokens[at][1] for at in mine), 3),
            "margin_length_correlation": correlation(margins, longer),
        }
    return told


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Pearson's r, None where one of the two does not vary."""
    a, b = fmean(one), fmean(other)
    spread = (sum((x - a) ** 2 for x in one) * sum((y - b) ** 2 for y in other)) ** 0.5
    return round(sum((x - a) * (y - b) for x, y in zip(one, other, strict=True)) / spread, 3) if spread else None


def tokens_written(trainer, turns: Sequence[list[dict]]) -> float | None:
    """Return the mean length of greedy answers; None under ZeRO, where no process has the weights."""
    import torch

    if trainer.is_deepspeed_enabled or not turns:
        return None
    model, tokenizer = trainer.model, trainer.processing_class
    model.eval()
    asked = [tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False) for turn in turns]
    width = max(len(ids) for ids in asked)
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in asked])
    there = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in asked])
    with torch.no_grad(), trainer.accelerator.autocast():
        said = model.generate(
            input_ids=ids.to(model.device), attention_mask=there.to(model.device), max_new_tokens=MOST_TOKENS,
            do_sample=False, temperature=None, top_p=None, top_k=None,
        )[:, width:]  # fmt: skip
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    return fmean(next((n for n, i in enumerate(row) if i in ends), len(row)) for row in said.tolist())


class Measured:
    """What is measured of the policy before training and once more after it.

    The greedy answers of before lie in the run's folder: a resumed run no longer has that policy.
    """

    def __init__(self, trainer, work: Path, pairs: Sequence[Pair], rows: Sequence[dict], learnt: list, held: list):
        self.trainer, self.pairs, self.rows = trainer, pairs, rows
        self.learnt, self.held = learnt, held
        self.sample = some([pairs[at] for at in learnt])
        asked = (held or learnt)[:WRITTEN]
        self.asked = list({pairs[at].query_id: rows[at]["prompt"] for at in asked}.values())
        kept = work / "before.json"
        if kept.is_file():
            self.before = json.loads(kept.read_text(encoding="utf-8"))
        else:
            self.before = tokens_written(trainer, self.asked)
            if trainer.is_world_process_zero():
                write_json(kept, self.before)

    def after(self, beta: float) -> dict:
        """Return the metrics of what training has done; pairs it trained on stand apart from those kept out."""
        trained = self.trainer.train_dataset.select(self.sample)
        told = {"trained_on": self.of([self.learnt[at] for at in self.sample], trained, beta)}
        if self.held:
            told["held_out"] = self.of(self.held, self.trainer.eval_dataset, beta)
        after = tokens_written(self.trainer, self.asked)
        return told | {"tokens_written": {"queries": len(self.asked), "before": self.before, "after": after}}

    def of(self, at: list[int], dataset, beta: float) -> dict:
        tokenizer = self.trainer.processing_class
        sides = [[self.rows[n][side][0]["content"] for side in ("chosen", "rejected")] for n in at]
        tokens = [tuple(len(tokenizer(text)["input_ids"]) for text in texts) for texts in sides]
        return by_source([self.pairs[n] for n in at], log_probs(self.trainer, dataset), tokens, beta)
