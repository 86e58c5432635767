"""What DPOTrainer is made with; training itself is in test_dpo.py."""

import pytest

from schemas.params_train import LoraParams
from tests.support import chat_models, tiny_policy
from train.dpo import make_dpo_trainer
from train.trl_rows import to_dpo_rows

PAIRS = tiny_policy.d_dpo()
# TRL 1.16 asks transformers 5.23 by the old name
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


def test_beta_loss_seed_and_the_two_sides_of_the_pairs_are_those_of_the_params(tiny_params, tiny_model, tmp_path):
    values = {"beta": 0.37, "precompute_ref_log_probs": False, "adam_beta2": 0.97, "warmup_steps": 0.3}
    lora = LoraParams(r=3, lora_alpha=5, lora_dropout=0.25, target_modules=("q_proj",))
    params = tiny_policy.params(tiny_params, base={"seed": 7}, dpo_train=values | {"lora": lora})
    rows = to_dpo_rows(PAIRS, tiny_policy.template(params))
    trainer = make_dpo_trainer(rows[:6], str(tiny_model), tmp_path, params, rows[6:])
    config = trainer.args
    assert (config.beta, config.loss_type, config.seed) == (0.37, ["sigmoid"], 7)
    assert (config.precompute_ref_log_probs, config.adam_beta2, config.warmup_steps) == (False, 0.97, 0.3)
    adapter = trainer.model.peft_config["default"]
    assert (adapter.r, adapter.lora_alpha, adapter.lora_dropout, adapter.task_type) == (3, 5, 0.25, "CAUSAL_LM")
    tokenizer = trainer.processing_class
    for dataset, pairs in ((trainer.train_dataset, PAIRS[:6]), (trainer.eval_dataset, PAIRS[6:])):
        chosen = [tokenizer.decode(row["chosen_ids"], skip_special_tokens=True) for row in dataset]
        assert chosen == [pair.chosen for pair in pairs]


@pytest.mark.parametrize("name", chat_models.families())
def test_every_familys_pairs_begin_once_and_end_with_the_turn(name, tiny_params, tmp_path):
    family = chat_models.families()[name]
    model = chat_models.write_model(tmp_path / "model", chat_models.make_tokenizer(family))
    params = tiny_policy.params(tiny_params, dpo_train={"precompute_ref_log_probs": False})
    rows = to_dpo_rows(PAIRS[:4], tiny_policy.template(params))
    trainer = make_dpo_trainer(rows, str(model), tmp_path, params)
    tokenizer = trainer.processing_class
    for row, pair in zip(trainer.train_dataset, PAIRS[:4], strict=True):
        assert row["prompt_ids"].count(tokenizer.bos_token_id) == (family.bos is not None)
        for side, text in ((row["chosen_ids"], pair.chosen), (row["rejected_ids"], pair.rejected)):
            assert tokenizer.decode(side).strip() == f"{text}{family.stop}"
