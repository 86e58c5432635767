"""What DPO did to the pairs, source by source: on pairs of queries kept out of training, and on some it trained on."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pipeline.llm.chat_format import find_stop
from pipeline.runtime.io import write_json
from schemas.base import Pair, content_id
from train.trl_rows import Row, Turns

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import DPOTrainer

TRAINED_PAIRS = 200
"""How many of the pairs that were trained on are measured, at most."""
ANSWERED_QUERIES = 16
"""How many queries' greedy answers are measured before and after."""
MOST_TOKENS = 160

LogProbs = tuple[float, float, float, float]
"""Of one pair, in nats: policy chosen, policy rejected, reference chosen, reference rejected."""


def split_by_query(pairs: Sequence[Pair], share: float) -> tuple[list[int], list[int]]:
    """Return the positions of the pairs to train on and of those held out: a query is whole on one side."""
    limit = share * 16**16
    held_out = [int(content_id(pair.query_id, "held out"), 16) < limit for pair in pairs]
    return [i for i, out in enumerate(held_out) if not out], [i for i, out in enumerate(held_out) if out]


def sample_pairs(pairs: Sequence[Pair], n: int = TRAINED_PAIRS) -> list[int]:
    """Return the positions of `n` pairs, the same ones in every run and whatever the order of the pairs."""
    return sorted(sorted(range(len(pairs)), key=lambda i: content_id(pairs[i].pair_id, "some"))[:n])


def compute_log_probs(trainer: "DPOTrainer", dataset: "Dataset") -> list[LogProbs]:
    """Return each pair's summed log-probabilities, in the dataset's order; of all processes."""
    import torch

    model = trainer.model_wrapped
    model.eval()
    log_probs: list[LogProbs] = []
    for batch in trainer.get_eval_dataloader(dataset):
        batch = trainer._prepare_inputs(batch)
        if "ref_chosen_logps" in batch:
            reference = batch["ref_chosen_logps"], batch["ref_rejected_logps"]
        else:
            reference = trainer.compute_ref_log_probs(trainer.ref_model or model, batch)
        inputs = {key: value for key, value in batch.items() if key in ("input_ids", "attention_mask")}
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        with torch.no_grad(), trainer.accelerator.autocast():
            policy = model(**inputs, labels=labels, use_cache=False, fused_lm_head=True).log_probs.sum(1)
        # TRL lays the chosen answers of a batch before the rejected ones
        both = torch.stack([*policy.chunk(2), *reference], 1).float()
        log_probs += [tuple(row) for row in trainer.accelerator.gather_for_metrics(both).tolist()]
    return log_probs


def measure_by_source(
    pairs: Sequence[Pair], log_probs: Sequence[LogProbs], tokens: Sequence[tuple[int, int]], beta: float
) -> dict[str, dict[str, float | None]]:
    """Return source -> what DPO did to its pairs.

    Margins are in units of beta's reward, log-probabilities in nats; `tokens` are those of chosen and rejected.
    """
    metrics: dict[str, dict[str, float | None]] = {}
    for source in sorted({pair.source for pair in pairs}):
        of_source = [i for i, pair in enumerate(pairs) if pair.source == source]
        changes = [(log_probs[i][0] - log_probs[i][2], log_probs[i][1] - log_probs[i][3]) for i in of_source]
        margins = [beta * (chosen - rejected) for chosen, rejected in changes]
        longer = [tokens[i][0] - tokens[i][1] for i in of_source]
        # texts that the reference wrote itself: their fall in log-probability estimates KL(reference || policy)
        falls_per_token = [
            -change / n
            for i, change_of_sides in zip(of_source, changes, strict=True)
            for change, n, is_reference in zip(
                change_of_sides, tokens[i], (pairs[i].chosen_origin == "policy", True), strict=True
            )
            if is_reference
        ]
        metrics[source] = {
            "pairs": len(of_source),
            "margin": round(fmean(margins), 6),
            "accuracy": round(fmean(margin > 0 for margin in margins), 6),
            "chosen_log_prob_change": round(fmean(chosen for chosen, _ in changes), 6),
            "rejected_log_prob_change": round(fmean(rejected for _, rejected in changes), 6),
            "kl_per_token": round(fmean(falls_per_token), 6),
            "tokens_chosen": round(fmean(tokens[i][0] for i in of_source), 3),
            "tokens_rejected": round(fmean(tokens[i][1] for i in of_source), 3),
            "margin_length_correlation": correlate(margins, longer),
        }
    return metrics


def correlate(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Pearson's r with three digits, None where one of the two does not vary."""
    a, b = fmean(one), fmean(other)
    spread = (sum((x - a) ** 2 for x in one) * sum((y - b) ** 2 for y in other)) ** 0.5
    return round(sum((x - a) * (y - b) for x, y in zip(one, other, strict=True)) / spread, 3) if spread else None


def measure_answer_tokens(trainer: "DPOTrainer", prompts: Sequence[Turns]) -> float | None:
    """Return the mean length of greedy answers in tokens; None under ZeRO, where no process has the weights."""
    import torch

    if trainer.is_deepspeed_enabled or not prompts:
        return None
    model, tokenizer = trainer.model, trainer.processing_class
    model.eval()
    encoded = [tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False) for turns in prompts]
    width = max(len(ids) for ids in encoded)
    input_ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(ids)) + ids for ids in encoded])
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in encoded])
    with torch.no_grad(), trainer.accelerator.autocast():
        answers = model.generate(
            input_ids=input_ids.to(model.device), attention_mask=mask.to(model.device), max_new_tokens=MOST_TOKENS,
            do_sample=False, temperature=None, top_p=None, top_k=None,
        )[:, width:]  # fmt: skip
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id, find_stop(tokenizer)}
    return fmean(next((n for n, i in enumerate(row) if i in ends), len(row)) for row in answers.tolist())


class PreferenceMetrics:
    """Measures the policy before training, and by `measure` once more after it.

    The mean length of greedy answers before training lies in the run's folder: a resumed run no longer has that policy.
    """

    def __init__(
        self,
        trainer: "DPOTrainer",
        work: Path,
        pairs: Sequence[Pair],
        rows: Sequence[Row],
        train_positions: Sequence[int],
        held_out_positions: Sequence[int],
        beta: float,
    ) -> None:
        """`rows` are the pairs in TRL's columns; the positions are of both."""
        self.trainer, self.pairs, self.rows, self.beta = trainer, pairs, rows, beta
        self.train_positions, self.held_out_positions = train_positions, held_out_positions
        self.sample = sample_pairs([pairs[i] for i in train_positions])
        answered = (held_out_positions or train_positions)[:ANSWERED_QUERIES]
        self.prompts = list({pairs[i].query_id: rows[i]["prompt"] for i in answered}.values())
        stored = work / "before.json"
        if stored.is_file():
            self.tokens_before = json.loads(stored.read_text(encoding="utf-8"))
        else:
            self.tokens_before = measure_answer_tokens(trainer, self.prompts)
            if trainer.is_world_process_zero():
                write_json(stored, self.tokens_before)

    def measure(self) -> dict[str, Any]:
        """Return the metrics of what training has done; pairs it trained on stand apart from those held out."""
        trained = self.trainer.train_dataset.select(self.sample)
        metrics: dict[str, Any] = {
            "trained_on": self._measure_pairs([self.train_positions[i] for i in self.sample], trained)
        }
        if self.held_out_positions:
            metrics["held_out"] = self._measure_pairs(self.held_out_positions, self.trainer.eval_dataset)
        lengths = {"before": self.tokens_before, "after": measure_answer_tokens(self.trainer, self.prompts)}
        return metrics | {"tokens_written": {"queries": len(self.prompts), **lengths}}

    def _measure_pairs(self, positions: Sequence[int], dataset: "Dataset") -> dict[str, dict[str, float | None]]:
        tokens = [
            (self._count_tokens(self.rows[i]["chosen"]), self._count_tokens(self.rows[i]["rejected"]))
            for i in positions
        ]
        log_probs = compute_log_probs(self.trainer, dataset)
        return measure_by_source([self.pairs[i] for i in positions], log_probs, tokens, self.beta)

    def _count_tokens(self, turns: Turns) -> int:
        return len(self.trainer.processing_class(turns[0]["content"], add_special_tokens=False)["input_ids"])
