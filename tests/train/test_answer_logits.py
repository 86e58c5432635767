"""The vocabulary's layer over the answers alone: plain TRL's losses and gradients, from fewer products."""

import pytest

from schemas.params_train import LoraParams
from tests.support import tiny_policy
from train.answer_logits import score_answers_alone
from train.dpo import make_dpo_trainer
from train.sft import make_sft_trainer
from train.trl_rows import FittingRows, to_dpo_rows, to_sft_rows

# TRL and peft ask transformers by the old name
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.slow,
]
LORA = LoraParams(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=("q_proj", "v_proj"))


def lengthen(rows, side):
    """Return the rows with the answer `side` of the n-th written n + 1 times, so that a batch is padded unevenly."""
    return [
        row | {side: [turn | {"content": " ".join([turn["content"]] * (n + 1))} for turn in row[side]]}
        for n, row in enumerate(rows)
    ]


@pytest.fixture
def make_trainer(tiny_params, tiny_model, tmp_path):
    def make(stage, lora):
        values = {"lora": lora, "global_batch_size": 4, "precompute_ref_log_probs": False}
        params = tiny_policy.params(tiny_params, sft={"lora": lora}, dpo_train=values)
        template = tiny_policy.template(params)
        if stage == "sft":
            rows = lengthen(to_sft_rows(tiny_policy.d_sft()[:4], template), "completion")
            return make_sft_trainer(FittingRows(rows, [0, 1, 2, 3], {}, 0), str(tiny_model), tmp_path, params)
        rows = lengthen(to_dpo_rows(tiny_policy.d_dpo()[:4], template), "rejected")
        return make_dpo_trainer(rows, str(tiny_model), tmp_path, params)

    yield make
    score_answers_alone()


def move_adapter(model):
    """Give an adapter that starts as nothing some effect, so that its gradients are not all zero."""
    import torch

    draws = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = 0.1 * torch.randn(weight.shape, generator=draws)


def compute(trainer, batch, alone):
    """Return (loss, gradient by name, rows of all products with the vocabulary's weights)."""
    from torch.profiler import ProfilerActivity, profile

    score_answers_alone(alone)
    trainer.model.zero_grad()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as record:
        loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
    vocabulary = trainer.model.config.vocab_size
    shapes = [event.input_shapes for event in record.events() if event.name == "aten::mm"]
    n_rows = sum(one[0] for one, other, *_ in shapes if other[1:] == [vocabulary])
    gradients = {
        name: weight.grad.clone() for name, weight in trainer.model.named_parameters() if weight.grad is not None
    }
    return loss.item(), gradients, n_rows


@pytest.mark.parametrize("stage", ["sft", "dpo"])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_losses_and_gradients_are_plain_trls_and_the_instruction_is_left_out(stage, lora, make_trainer):
    trainer = make_trainer(stage, lora)
    move_adapter(trainer.model)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    learnt = batch["labels"] != -100 if stage == "sft" else batch["completion_mask"] == 1
    assert len(set(learnt.sum(1).tolist())) > 2  # uneven rows, so that there is padding
    plain_loss, plain_gradients, plain_rows = compute(trainer, batch, alone=False)
    loss, gradients, n_rows = compute(trainer, batch, alone=True)
    assert loss == pytest.approx(plain_loss, abs=1e-5)
    assert gradients.keys() == plain_gradients.keys() and any(("lora_A" in name) == bool(lora) for name in gradients)
    for name, gradient in gradients.items():
        assert gradient.sub(plain_gradients[name]).abs().max() < 1e-5, name
    assert max(gradient.abs().max() for gradient in gradients.values()) > 1e-3
    scored = learnt[:, 1:]
    passes = {"sft": 2, "dpo": 3}[stage]  # forward, once more in the backward pass, and of DPO the reference
    assert (plain_rows, n_rows) == (passes * scored.numel(), passes * int(scored.sum()))


def test_the_reference_pass_of_dpo_leaves_the_instruction_out_too(make_trainer):
    from torch.profiler import ProfilerActivity, profile

    trainer = make_trainer("dpo", None)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    score_answers_alone(False)
    plain = trainer.compute_ref_log_probs(trainer.ref_model, batch)
    score_answers_alone()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as record:
        chosen, rejected = trainer.compute_ref_log_probs(trainer.ref_model, batch)
    shapes = [event.input_shapes for event in record.events() if event.name == "aten::mm"]
    vocabulary = trainer.model.config.vocab_size
    n_rows = sum(one[0] for one, other, *_ in shapes if other[1:] == [vocabulary])
    assert n_rows == batch["completion_mask"].sum()
    assert chosen.sub(plain[0]).abs().max() < 1e-4 and rejected.sub(plain[1]).abs().max() < 1e-4
