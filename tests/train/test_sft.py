import json
import shutil

import pytest
from click.testing import CliRunner

from pipeline.llm.chat_format import OURS
from pipeline.runtime.io import DataError, write_rows
from schemas.base import content_id
from schemas.d_sft import DSft
from schemas.params_train import LoraParams
from tests.support import chat_models, tiny_policy
from tests.support.small_project import write_params
from train.checkpoints import hash_weights, read_versions
from train.model_folder import KEPT, read_base
from train.sft import main, make_sft_trainer, sft
from train.trl_rows import FittingRows, to_sft_rows, to_user_turn

pytestmark = pytest.mark.slow

ROWS = tiny_policy.d_sft()


def trained(params, base, out, rows=ROWS):
    sft(rows, base, out, params)
    return tiny_policy.contents(out)


def all_of(rows):
    return FittingRows(rows, list(range(len(rows))), {}, 0)


def metrics(out):
    return json.loads((out.parent.parent.parent / "results/models" / f"{out.name}.json").read_text())


@pytest.fixture(scope="module")
def once(tiny_params, tiny_model, tmp_path_factory):
    """The model that ten rows and two steps give."""
    folder = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VPO_HOME", str(folder / "home"))
        sft(ROWS, tiny_model, folder / "data/models/sft", tiny_params)
    return folder / "data/models/sft"


@pytest.fixture
def trainer(tiny_params, tiny_model, tmp_path):
    ten = tiny_policy.params(tiny_params, sft={"global_batch_size": 10})
    return make_sft_trainer(all_of(to_sft_rows(ROWS, tiny_policy.template(ten))), str(tiny_model), tmp_path, ten)


def test_the_trained_labels_are_the_answer_and_its_end_alone(trainer):
    (batch,) = trainer.get_train_dataloader()
    labels = [[token for token in row if token != -100] for row in batch["labels"].tolist()]
    assert sorted(trainer.processing_class.decode(row) for row in labels) == sorted(
        f"{row.prompt}<|eot_id|>" for row in ROWS
    )


def test_before_the_answer_the_model_reads_what_it_will_be_asked_with(trainer, tiny_params):
    tokenizer, template = trainer.processing_class, tiny_policy.template(tiny_params)
    prompts = [
        tokenizer.apply_chat_template(to_user_turn(row.query, template), add_generation_prompt=True, return_dict=False)
        for row in ROWS
    ]
    (batch,) = trainer.get_train_dataloader()
    rows = zip(*(batch[name].tolist() for name in ("input_ids", "labels", "attention_mask")), strict=True)
    read = [[i for i, label, there in zip(*row, strict=True) if there and label == -100] for row in rows]
    assert sorted(read) == sorted(prompts)
    assert all(ids.count(tokenizer.bos_token_id) == 1 for ids in read)


@pytest.mark.parametrize("name", chat_models.families())
def test_every_familys_rows_begin_once_and_end_with_the_turn_that_is_learnt(name, tiny_params, tmp_path):
    """Also where the token that ends a text pads too, as Llama's does, which has none to pad with."""
    family = chat_models.families()[name]
    model = chat_models.write_model(tmp_path / "model", chat_models.make_tokenizer(family))
    four = tiny_policy.params(tiny_params, sft={"global_batch_size": 4})
    rows = all_of(to_sft_rows(ROWS[:4], tiny_policy.template(four)))
    trainer = make_sft_trainer(rows, str(model), tmp_path, four)
    tokenizer = trainer.processing_class
    (batch,) = trainer.get_train_dataloader()
    learnt = [[token for token in row if token != -100] for row in batch["labels"].tolist()]
    assert sorted(tokenizer.decode(row).strip() for row in learnt) == sorted(
        f"{row.prompt}{family.stop}" for row in ROWS[:4]
    )
    read = zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist(), strict=True)
    texts = [[token for token, there in zip(*row, strict=True) if there] for row in read]
    assert [ids.count(tokenizer.bos_token_id) for ids in texts] == [int(family.bos is not None)] * 4


def test_a_base_model_learns_the_format_of_ours_that_is_named_and_keeps_it(tiny_params, tmp_path, vpo_home):
    tokenizer = chat_models.make_tokenizer(chat_models.families()["llama3"], template=None)
    model, base = chat_models.write_model(tmp_path / "model", tokenizer), tmp_path / "data/models/base"
    base.mkdir(parents=True)
    long = tiny_policy.params(tiny_params, sft={"max_length": 2048})
    with pytest.raises(DataError, match="set base_model.chat_template to plain"):
        (base / "base.json").write_text(json.dumps({"name": str(model), "revision": None}))
        sft(ROWS, base, tmp_path / "data/models/sft", long)
    (base / "base.json").write_text(json.dumps({"name": str(model), "revision": None, "chat_template": "plain"}))
    sft(ROWS, base, tmp_path / "data/models/sft", long)
    assert (tmp_path / "data/models/sft/chat_template.jinja").read_text().rstrip() == OURS["plain"].rstrip()


# peft asks transformers by the old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_seed_schedule_and_adapters_are_those_of_the_params(tiny_params, tiny_model, tmp_path):
    lora = LoraParams(r=3, lora_alpha=5, lora_dropout=0.25, target_modules=("q_proj",))
    values = {"lora": lora, "adam_beta2": 0.97, "warmup_steps": 0.3, "lr_scheduler_type": "constant_with_warmup"}
    params = tiny_policy.params(tiny_params, base={"seed": 7}, sft=values)
    trainer = make_sft_trainer(
        all_of(to_sft_rows(ROWS, tiny_policy.template(params))), str(tiny_model), tmp_path, params
    )
    assert (trainer.args.seed, trainer.args.adam_beta2, trainer.args.warmup_steps) == (7, 0.97, 0.3)
    assert trainer.args.lr_scheduler_type == "constant_with_warmup"
    adapter = trainer.model.peft_config["default"]
    assert (adapter.r, adapter.lora_alpha, adapter.lora_dropout, adapter.task_type) == (3, 5, 0.25, "CAUSAL_LM")
    assert adapter.target_modules == {"q_proj"}


def test_the_first_loss_is_the_mean_over_the_answers_tokens_by_plain_torch(tiny_params, tiny_model, tmp_path, vpo_home):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = ROWS[:4]
    out = tmp_path / "data/models/sft"
    sft(
        rows,
        tiny_model,
        out,
        tiny_policy.params(tiny_params, sft={"max_steps": 1, "global_batch_size": 4, "warmup_steps": 0}),
    )
    model, tokenizer = (kind.from_pretrained(tiny_model) for kind in (AutoModelForCausalLM, AutoTokenizer))
    template = tiny_policy.template(tiny_params)
    sums = [
        tiny_policy.answer_log_prob(model, tokenizer, to_user_turn(row.query, template), row.prompt) for row in rows
    ]
    by_hand = -sum(log_prob for log_prob, _ in sums) / sum(n for _, n in sums)
    assert metrics(out)["first_loss"] == pytest.approx(by_hand, abs=1e-5)


def test_a_model_says_what_it_was_made_from(once, tiny_model, tiny_params):
    about = json.loads((once / "model.json").read_text())
    assert {name: about[name] for name in ("stage", "base", "seed", "lora")} == {
        "stage": "sft", "base": tiny_model.name, "seed": 0, "lora": None,
    }  # fmt: skip
    assert about["template"] == tiny_policy.template(tiny_params).hash
    assert about["weights"] == hash_weights(tiny_model) and about["libraries"] == read_versions()
    assert about["d_sft"] == content_id([row.model_dump(mode="json") for row in ROWS])


def test_equal_inputs_give_equal_bytes(tiny_params, tiny_model, once, tmp_path, vpo_home):
    again = trained(tiny_params, tiny_model, tmp_path / "data/models/sft")
    assert again == tiny_policy.contents(once)
    assert again["model.safetensors"] != (tiny_model / "model.safetensors").read_bytes()
    assert metrics(tmp_path / "data/models/sft") == metrics(once)


def test_a_longer_row_is_counted_as_dropped_and_never_cut(tiny_params, tiny_model, once, tmp_path, vpo_home):
    long = ROWS[0].model_copy(update={"prompt": "a fox " * 400})
    out = tmp_path / "data/models/sft"
    with_it = trained(tiny_params, tiny_model, out, [*ROWS, long])
    counts = metrics(out)
    assert (counts["units_in"], counts["units_done"], counts["units_dropped"]) == (11, 10, 1)
    assert counts["dropped"] == {"too_long": 1} and counts["steps"] == 2
    assert with_it["model.safetensors"] == tiny_policy.contents(once)["model.safetensors"]


@pytest.fixture
def files(tmp_path, tiny_model):
    write_rows(tmp_path / "data/sft/d_sft.jsonl", ROWS, DSft)
    shutil.copytree(tiny_model, tmp_path / "data/models/base")
    return tmp_path / "data"


def run(data, params):
    given = write_params(data.parent, sft=params.sft.model_dump())
    paths = [str(data / name) for name in ("sft/d_sft.jsonl", "models/base", "models/sft")]
    return CliRunner().invoke(main, [*paths, "--params", str(given)])


def test_the_stage_leaves_a_whole_model_that_says_where_it_is_from(files, tiny_params, vpo_home):
    from transformers import AutoModelForCausalLM

    done = run(files, tiny_params)
    assert done.exit_code == 0, done.output
    folder = files / "models/sft"
    assert all(any(path.match(pattern) for pattern in KEPT) for path in folder.iterdir())
    about = json.loads((folder / "model.json").read_text())
    assert (about["stage"], about["base"], about["seed"]) == ("sft", "base", 0)
    assert read_base(folder) == (str(folder), None)
    assert AutoModelForCausalLM.from_pretrained(folder).config.use_cache
    assert list(vpo_home.glob("train/*")) == []


def test_an_empty_d_sft_is_one_clear_error(files, tiny_params, vpo_home):
    write_rows(files / "sft/d_sft.jsonl", [], DSft)
    done = run(files, tiny_params)
    assert done.exit_code == 1 and "d_sft.jsonl: no rows, so nothing to train on" in done.output
    assert not (files / "models/sft").exists()


def test_a_d_sft_of_rows_that_do_not_fit_is_one_clear_error(tiny_params, tiny_model, tmp_path, vpo_home):
    short = tiny_policy.params(tiny_params, sft={"max_length": 10})
    with pytest.raises(DataError, match="no row to train on: dropped {'too_long': 10}; see sft.max_length"):
        sft(ROWS, tiny_model, tmp_path / "sft", short)
    assert not (tmp_path / "sft").exists()


def test_a_tokenizer_without_chat_template_is_one_clear_error(files, tiny_params, vpo_home):
    (files / "models/base/chat_template.jinja").unlink()
    done = run(files, tiny_params)
    assert done.exit_code == 1 and "the tokenizer has no chat template" in done.output
    assert not (files / "models/sft").exists()
