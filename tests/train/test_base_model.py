import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.runtime.io import write_rows
from pipeline.runtime.named_model import NAMED, download
from pipeline.world.reading import list_unsafe_words
from schemas.d_sft import DSft
from schemas.queries import Query
from tests.support import tiny_policy
from tests.support.params import with_values
from tests.support.small_project import write_params
from train.base_model import CopyTask, main, pin
from train.model_folder import KEPT, read_base

ROOT = Path(__file__).resolve().parents[2]
REVISION = "a" * 40
TYPED = [*tiny_policy.QUERIES, "a gunman with a gun!", "(bloody) Murder in the snow"]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def task(tokenizer, tiny_params):
    return CopyTask(tokenizer, tiny_policy.template(tiny_params), TYPED, seed=3)


def test_the_copy_task_practises_every_word_of_the_texts_and_unsafe_ones_as_often(task, tokenizer):
    counts = Counter(tuple(task.draw_word()) for _ in range(20_000))
    of_word = {tokenizer.decode(ids).strip(): counts[tuple(ids)] for ids in task.words}
    assert of_word.keys() == {word for text in TYPED for word in text.split()}
    assert {"(bloody)", "Murder", "gun!"} < of_word.keys()
    expected = 0.6 * 20_000 / len(task.words)
    assert all(0.6 * expected < count < 1.6 * expected for count in of_word.values()), of_word


def test_rows_of_the_copy_task_repeat_unsafe_words(task, tokenizer):
    rows = [task.draw_row() for _ in range(100)]
    answers = [tokenizer.decode(ids[start:], skip_special_tokens=True) for ids, start in rows]
    assert any(list_unsafe_words(answer) for answer in answers)


def test_the_answer_of_the_copy_task_holds_the_query_and_ends(task, tokenizer):
    for _ in range(50):
        ids, start = task.draw_row()
        query = ids[len(task.before) : start - len(task.after)]
        answer = ids[start:]
        assert any(answer[i : i + len(query)] == query for i in range(len(answer)))
        assert answer[-1] == tokenizer.eos_token_id


def test_equal_inputs_and_seed_give_equal_bytes(tiny_params, tiny_model, tmp_path):
    again = tiny_policy.contents(tiny_policy.write(tiny_params, tmp_path / "again"))
    assert again == tiny_policy.contents(tiny_model)
    seeded = tiny_params.model_copy(update={"base": tiny_params.base.model_copy(update={"seed": 1})})
    other = tiny_policy.contents(tiny_policy.write(seeded, tmp_path / "other"))
    assert (
        other["model.safetensors"] != again["model.safetensors"] and other["tokenizer.json"] == again["tokenizer.json"]
    )


@pytest.mark.slow
def test_the_copy_task_is_learnt(tiny_params):
    longer = tiny_policy.params(tiny_params, base_model={"steps": 20, "learning_rate": 5e-3})
    _, _, losses = tiny_policy.make(longer)
    assert len(losses) == 20 and sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.fixture
def inputs(tmp_path):
    write_rows(tmp_path / "data/queries/sft.jsonl", tiny_policy.queries("sft"), Query)
    write_rows(tmp_path / "data/sft/d_sft.jsonl", tiny_policy.d_sft(), DSft)
    return tmp_path / "data"


def run(data, *sections):
    given = write_params(data.parent, **dict(sections))
    files = [str(data / name) for name in ("queries/sft.jsonl", "sft/d_sft.jsonl", "models/base")]
    return CliRunner().invoke(main, [*files, "--params", str(given)])


@pytest.mark.slow
def test_the_stage_writes_allowed_files_alone(inputs, tiny_params, vpo_home):
    small = tiny_params.base_model.model_dump()
    done = run(inputs, ("base_model", small))
    assert done.exit_code == 0, done.output
    folder = inputs / "models/base"
    assert all(any(path.match(pattern) for pattern in KEPT) for path in folder.iterdir())
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {path.name for path in folder.iterdir()}
    assert read_base(folder) == (str(folder), None)
    metrics = json.loads((inputs.parent / "results/models/base.json").read_text())
    assert metrics["steps"] == small["steps"] and 256 < metrics["vocabulary"] <= small["vocab_size"]


def hub(**values):
    nothing = dict.fromkeys(
        (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "steps",
            "batch_size",
            "learning_rate",
        )
    )
    return nothing | {"backend": "hub", "name": "meta-llama/Meta-Llama-3-8B-Instruct", "revision": REVISION} | values


def test_a_hub_model_is_named_with_its_revision(inputs, vpo_home):
    done = run(inputs, ("base_model", hub()))
    assert done.exit_code == 0, done.output
    folder = inputs / "models/base"
    assert [path.name for path in folder.iterdir()] == [NAMED]
    assert read_base(folder) == ("meta-llama/Meta-Llama-3-8B-Instruct", REVISION)


def test_a_chat_format_of_ours_is_named_beside_the_model(inputs, vpo_home):
    done = run(inputs, ("base_model", hub(chat_template="plain")))
    assert done.exit_code == 0, done.output
    named = json.loads((inputs / "models/base" / NAMED).read_text())
    assert (named["revision"], named["chat_template"]) == (REVISION, "plain")


def test_a_hub_model_without_a_revision_is_refused(inputs, vpo_home):
    done = run(inputs, ("base_model", hub(revision=None)))
    assert done.exit_code == 1 and "pin it to the 40-hex commit" in done.output
    assert not (inputs / "models/base").exists()


def test_a_backend_without_what_it_reads_is_refused(inputs, vpo_home):
    for section, message in ((hub(name=None), "needs name"), ({"steps": None}, "needs steps")):
        done = run(inputs, ("base_model", section))
        assert done.exit_code == 2 and message in done.output


def test_a_folder_may_stand_for_a_base_model(tiny_model, laptop):
    named = with_values(laptop.base_model, **hub(name=str(tiny_model), revision=None))
    assert pin(named.name, named.revision) == {"name": str(tiny_model), "revision": None}
    assert download(str(tiny_model), None) == str(tiny_model)


def test_no_queries_are_one_clear_error(inputs, tiny_params, vpo_home):
    write_rows(inputs / "queries/sft.jsonl", [], Query)
    done = run(inputs, ("base_model", tiny_params.base_model.model_dump()))
    assert done.exit_code == 1 and "no queries, so no words to learn" in done.output
    assert not (inputs / "models/base").exists()


def test_the_words_and_pieces_to_copy_stand_in_one_order_whatever_the_order_of_the_texts(tokenizer, tiny_params):
    """A set's order differs from process to process, and another order draws other rows by the same seed."""
    template = tiny_policy.template(tiny_params)
    tasks = [CopyTask(tokenizer, template, texts, seed=3) for texts in (TYPED, TYPED[::-1])]
    words = sorted({word for text in TYPED for word in text.split()})
    for task in tasks:
        assert task.words == [CopyTask.encode(tokenizer, word) for word in words]
        assert task.starts == sorted(task.starts) and task.pieces == sorted(task.pieces)
    one, other = ([task.draw_row() for _ in range(5)] for task in tasks)
    assert one == other
