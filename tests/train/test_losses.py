"""TRL's losses against a hand-written reference, step by step."""

import csv

import pytest

from schemas.params_train import LoraParams
from tests.support import tiny_policy
from tests.support import train_reference as reference
from train.curve import curve_path
from train.dpo import dpo
from train.sft import sft

# TRL and peft ask transformers by the old name
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.slow,
]

STEPS, RATE = 4, 2e-3
LORA = LoraParams(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=("q_proj", "v_proj"))
TRAIN = {"learning_rate": RATE, "warmup_steps": 0, "lr_scheduler_type": "constant", "max_steps": STEPS}
TRAIN |= {"global_batch_size": 10, "num_train_epochs": STEPS}  # every step sees all rows: their order does not matter


def curve(out):
    with curve_path(out).open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture
def by_hand(tiny_params, tiny_model):
    template, tokenizer = tiny_policy.template(tiny_params), reference.tokenizer_of(tiny_model)

    def losses(rows, lora, beta=None):
        def wrap(model):
            if lora is None:
                return model
            from peft import get_peft_model
            from transformers import set_seed

            from train.lora import make_peft_config

            set_seed(tiny_params.base.seed)  # the adapter's first weights are TRL's
            return get_peft_model(model, make_peft_config(lora))

        return reference.losses(tiny_model, rows, STEPS, RATE, wrap, beta)

    def encoded(query, answer):
        return reference.encoded(tokenizer, template, query, answer)

    losses.encoded = encoded
    return losses


@pytest.mark.parametrize("padding_free", [False, True])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_sft_is_the_mean_over_the_answers_tokens_at_every_step(
    lora, padding_free, tiny_params, tiny_model, tmp_path, vpo_home, by_hand
):
    out = tmp_path / "data/models/sft"
    values = TRAIN | {"lora": lora, "padding_free": padding_free}
    sft(tiny_policy.d_sft(), tiny_model, out, tiny_policy.params(tiny_params, sft=values))
    wanted = by_hand([by_hand.encoded(row.query, row.prompt) for row in tiny_policy.d_sft()], lora)
    assert wanted[0] - wanted[-1] > 0.01
    assert curve(out) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("precompute", [False, True])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_dpo_is_equation_2_at_every_step(lora, precompute, tiny_params, tiny_model, tmp_path, vpo_home, by_hand):
    out = tmp_path / "data/models/dpo"
    values = TRAIN | {"lora": lora, "precompute_ref_log_probs": precompute, "learning_rate": RATE}
    dpo(tiny_policy.d_dpo(), tiny_model, out, tiny_policy.params(tiny_params, dpo_train=values))
    rows = []
    for pair in tiny_policy.d_dpo():
        (prompt, chosen), (_, rejected) = (by_hand.encoded(pair.query, text) for text in (pair.chosen, pair.rejected))
        rows.append((prompt, chosen, rejected))
    wanted = by_hand(rows, lora, tiny_params.dpo.train.beta)
    assert wanted[0] - wanted[-1] > 0.01
    assert curve(out) == pytest.approx(wanted, abs=1e-5)
