import json
import math
import shutil

import pytest
from click.testing import CliRunner

from pipeline.backends.policy.model_folder import model_revision
from pipeline.runtime.io import DataError, write_rows
from pipeline.runtime.set_aside import read_set_aside
from schemas.base import content_id
from schemas.d_dpo import DDpo
from tests.support import tiny_policy
from tests.support.small_project import write_params
from train.checkpoints import hash_weights
from train.curve import curve_path
from train.dpo import dpo, main, make_dpo_trainer
from train.model_folder import KEPT
from train.preference_metrics import split_by_query
from train.trl_rows import to_dpo_rows, to_user_turn

# TRL 1.16 asks transformers 5.23 by the old name
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.slow,
]

PAIRS = tiny_policy.d_dpo()
BETA = 0.3
"""Another than TRL's own."""
HIGH = {"learning_rate": 1e-2, "warmup_steps": 0, "max_steps": 3, "lr_scheduler_type": "constant"}


@pytest.fixture(scope="module")
def by_hand(tiny_params, tiny_model):
    """Return (model folder) -> summed log-probs of every pair's chosen and rejected, by plain torch."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    template = tiny_policy.template(tiny_params)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)

    def log_probs(folder, pairs=PAIRS):
        model = AutoModelForCausalLM.from_pretrained(folder)
        turns = [to_user_turn(pair.query, template) for pair in pairs]
        return [
            tuple(tiny_policy.answer_log_prob(model, tokenizer, turn, text)[0] for text in (pair.chosen, pair.rejected))
            for turn, pair in zip(turns, pairs, strict=True)
        ]

    return log_probs


def swapped(pair):
    return pair.model_copy(update={"chosen": pair.rejected, "rejected": pair.chosen})


def metrics(out):
    return json.loads((out.parent.parent.parent / "results/models" / f"{out.name}.json").read_text())


@pytest.mark.parametrize("precompute", [True, False])
def test_the_reference_stays_the_sft_model_while_the_policy_leaves_it(
    precompute, tiny_params, tiny_model, tmp_path, by_hand
):
    import torch

    params = tiny_policy.params(tiny_params, dpo_train=HIGH | {"precompute_ref_log_probs": precompute})
    rows = to_dpo_rows(PAIRS, tiny_policy.template(params))
    trainer = make_dpo_trainer(rows, str(tiny_model), tmp_path, params)
    wanted = by_hand(tiny_model)
    trainer.train()
    if precompute:
        kept = trainer.train_dataset
        used = list(zip(kept["ref_chosen_logps"], kept["ref_rejected_logps"], strict=True))
    else:
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(PAIRS))])
        with torch.no_grad():
            both_sides = trainer.compute_ref_log_probs(trainer.ref_model, batch)
        used = list(zip(*(log_probs.tolist() for log_probs in both_sides), strict=True))
    assert used == [pytest.approx(pair, abs=1e-3) for pair in wanted]
    trainer.model.save_pretrained(tmp_path / "policy")
    assert all(abs(now[0] - before[0]) > 1 for now, before in zip(by_hand(tmp_path / "policy"), wanted, strict=True))


@pytest.fixture(scope="module")
def after(tiny_params, tiny_model, tmp_path_factory):
    """The models after one and after two steps on the first four pairs, one batch."""
    folder = tmp_path_factory.mktemp("after")
    models = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VPO_HOME", str(folder / "home"))
        for steps in (1, 2):
            train = HIGH | {"learning_rate": 1e-3, "max_steps": steps, "num_train_epochs": 2, "beta": BETA}
            models[steps] = folder / f"data/models/after_{steps}"
            dpo(PAIRS[:4], tiny_model, models[steps], tiny_policy.params(tiny_params, dpo_train=train))
    return models


def test_the_first_loss_is_ln_2(after):
    assert metrics(after[1])["first_loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_the_second_loss_is_equation_2_by_plain_torch(after, tiny_model, by_hand):
    policy, reference = by_hand(after[1], PAIRS[:4]), by_hand(tiny_model, PAIRS[:4])
    losses = []
    for (chosen, rejected), (ref_chosen, ref_rejected) in zip(policy, reference, strict=True):
        margin = BETA * ((chosen - ref_chosen) - (rejected - ref_rejected))
        losses.append(math.log(1 + math.exp(-margin)))
    assert metrics(after[2])["last_loss"] == pytest.approx(sum(losses) / 4, abs=1e-5)
    assert abs(sum(losses) / 4 - math.log(2)) > 1e-3


def test_training_on_one_pair_raises_its_margin_and_swapped_labels_lower_it(
    tiny_params, tiny_model, tmp_path, vpo_home, by_hand
):
    pair = PAIRS[:1]
    params = tiny_policy.params(tiny_params, dpo_train=HIGH | {"global_batch_size": 1, "learning_rate": 1e-3})
    dpo(pair, tiny_model, tmp_path / "kept", params)
    dpo([swapped(pair[0])], tiny_model, tmp_path / "swapped", params)

    def margin(folder):
        ((chosen, rejected),) = by_hand(folder, pair)
        return chosen - rejected

    before = margin(tiny_model)
    assert margin(tmp_path / "kept") > before + 0.5
    assert margin(tmp_path / "swapped") < before - 0.5


@pytest.fixture
def files(tmp_path, tiny_model):
    write_rows(tmp_path / "data/dpo/d_dpo.jsonl", PAIRS, DDpo)
    shutil.copytree(tiny_model, tmp_path / "data/models/sft")
    return tmp_path / "data"


def run(data, params, *options, name="dpo"):
    given = write_params(data.parent, dpo={"train": params.dpo.train.model_dump()})
    paths = [str(data / part) for part in ("dpo/d_dpo.jsonl", "models/sft", f"models/{name}")]
    return CliRunner().invoke(main, [*paths, *options, "--params", str(given)])


def test_the_stage_gives_equal_bytes_and_a_model_that_says_where_it_is_from(files, tiny_params, vpo_home):
    for name in ("dpo", "again"):
        done = run(files, tiny_params, name=name)
        assert done.exit_code == 0, done.output
    one, two = (tiny_policy.contents(files / "models" / name) for name in ("dpo", "again"))
    assert one == two and one["model.safetensors"] != tiny_policy.contents(files / "models/sft")["model.safetensors"]
    assert all(any(path.match(pattern) for pattern in KEPT) for path in (files / "models/dpo").iterdir())
    about = json.loads(one["model.json"])
    assert (about["stage"], about["base"], about["seed"]) == ("dpo", "sft", 0)
    assert about["d_dpo"] == content_id([pair.model_dump(mode="json") for pair in PAIRS])
    assert about["template"] == tiny_policy.template(tiny_params).hash
    assert about["weights"] == hash_weights(files / "models/sft")
    counts = metrics(files / "models/dpo")
    assert (counts["units_in"], counts["units_done"], counts["dropped"]) == (10, 10, {})


def test_an_empty_d_dpo_is_one_clear_error(files, tiny_params, vpo_home):
    write_rows(files / "dpo/d_dpo.jsonl", [], DDpo)
    done = run(files, tiny_params)
    assert done.exit_code == 1
    assert "d_dpo.jsonl: no pairs, so nothing to train on; see" in done.output and "d_dpo_dropped.jsonl" in done.output
    assert not (files / "models/dpo").exists()


def test_pairs_that_do_not_fit_are_one_clear_error(tiny_params, tiny_model, tmp_path, vpo_home):
    short = tiny_policy.params(tiny_params, dpo_train={"max_length": 10})
    with pytest.raises(DataError, match="no pair to train on: dropped {'too_long': 10}"):
        dpo(PAIRS, tiny_model, tmp_path / "dpo", short)


def test_an_arm_without_pairs_is_set_aside_and_leaves_what_the_stages_behind_it_read(files, tiny_params, vpo_home):
    write_rows(files / "dpo/d_dpo.jsonl", [], DDpo)
    done = run(files, tiny_params, "--arm")
    assert done.exit_code == 0 and "set aside, the other arms go on" in done.output, done.output
    assert "no pairs" in read_set_aside(files / "models/dpo")
    assert metrics(files / "models/dpo")["units_done"] == 0
    assert curve_path(files / "models/dpo").read_text().startswith("step,")
    with pytest.raises(DataError, match="the arm was set aside"):
        model_revision(files / "models/dpo")


def test_an_extra_arm_whose_pairs_all_go_is_set_aside_too(files, tiny_params, vpo_home):
    one = PAIRS[0]
    same = {"rejected": one.chosen, "rejected_id": one.chosen_id}
    same["pair_id"] = content_id(one.query_id, one.chosen, one.chosen, one.source)
    write_rows(files / "dpo/d_dpo.jsonl", [one.model_copy(update=same)], DDpo)
    done = run(files, tiny_params, "--arm")
    assert done.exit_code == 0, done.output
    assert done.exit_code == 0 and "dropped {'no_preference': 1}" in read_set_aside(files / "models/dpo")
    assert metrics(files / "models/dpo")["dropped"] == {"not_trained": 1}


def test_a_share_that_keeps_every_pair_out_is_one_clear_error(tiny_params, tiny_model, tmp_path, vpo_home):
    held = [PAIRS[i] for i in split_by_query(PAIRS, 0.3)[1]]
    with pytest.raises(DataError, match="no pair to train on.*held_out_share"):
        dpo(held, tiny_model, tmp_path / "dpo", tiny_policy.params(tiny_params, dpo_train={"held_out_share": 0.3}))


def test_pairs_held_out_are_not_trained_on(tiny_params, tiny_model, tmp_path, vpo_home):
    one_epoch = {"held_out_share": 0.3, "global_batch_size": 1, "max_steps": -1, "num_train_epochs": 1}
    out = tmp_path / "data/models/dpo"
    dpo(PAIRS, tiny_model, out, tiny_policy.params(tiny_params, dpo_train=HIGH | one_epoch))
    learnt, held = split_by_query(PAIRS, 0.3)
    assert metrics(out)["steps"] == len(learnt) == len(PAIRS) - len(held) < len(PAIRS)


def test_a_start_without_a_model_is_one_clear_error(tiny_params, tmp_path, vpo_home):
    (tmp_path / "sft").mkdir()
    with pytest.raises(DataError, match="no model in it"):
        dpo(PAIRS, tmp_path / "sft", tmp_path / "dpo", tiny_params)


def test_an_arm_of_too_few_pairs_or_steps_stops_with_its_name(tiny_params, tiny_model, tmp_path, vpo_home):
    out = tmp_path / "data/models/dpo_tiny"
    with pytest.raises(DataError, match="dpo_tiny: 3 rows to train on are fewer than one batch of 4"):
        dpo(PAIRS[:3], tiny_model, out, tiny_policy.params(tiny_params))
    warming_up = tiny_policy.params(tiny_params, dpo_train={"max_steps": 1, "warmup_steps": 0.5})
    with pytest.raises(DataError, match=f"dpo_tiny: after training the weights are those of {tiny_model.name}"):
        dpo(PAIRS, tiny_model, out, warming_up)
    assert not out.exists()
