import json
import shutil

import pytest
from click.testing import CliRunner

from pipeline.runtime.io import DataError, write_rows
from schemas.d_sft import DSft
from tests.support import tiny_policy
from tests.support.small_project import write_params
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
