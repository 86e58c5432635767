import copy
import json
import os
import random
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.runtime.io import DataError, write_rows
from pipeline.world.lexicon import UNSAFE
from pipeline.world.reading import unsafe_words
from schemas.d_sft import DSft
from schemas.queries import Query
from tests.support import tiny_policy
from tests.support.params import with_values
from tests.support.small_project import write_params
from train.base import NAMED, base_of, downloaded
from train.base_model import CopyTask, main, pinned
from train.run import KEPT
from train.tiny_llama import tiny_llama
from train.trl_rows import instruction

ROOT = Path(__file__).resolve().parents[2]
SOUP = [
    "a fox 🦊 and a family 👨‍👩‍👧‍👦",
    "一只红色的狐狸,在雪地里",
    "two\nlines\n\nand a gap\n indented",
    " leading, trailing \t and\x00odd bytes\x7f",
    "café\u0301 naïve\u200b ﷽ \ufffd",
    "'quotes' \"and\" -- dashes... $5 <b>",
]
REVISION = "a" * 40


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def task(tokenizer, tiny_params):
    typed = [*tiny_policy.QUERIES, "a gunman with a gun!", "(bloody) Murder in the snow"]
    return CopyTask(tokenizer, tiny_policy.template(tiny_params), typed, seed=3)


@pytest.mark.parametrize("text", SOUP)
def test_the_tokenizer_gives_every_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_tokenizer_gives_random_unicode_back(tokenizer):
    draw = random.Random(0)
    for _ in range(200):
        signs = [draw.choice([draw.randrange(32, 127), draw.randrange(0xD800), draw.randrange(0xE000, 0x110000), 10])
                 for _ in range(draw.randrange(1, 12))]  # fmt: skip
        text = "".join(map(chr, signs))
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_word_is_the_same_tokens_wherever_it_stands(tokenizer):
    first, a, inside, line = (tokenizer(text)["input_ids"] for text in ("unheardof", "a", "a unheardof", "\nunheardof"))
    assert len(first) > 1
    assert inside == a + first
    assert line[-len(first) :] == first


def test_the_chat_format_begins_with_one_bos_and_ends_each_turn(tokenizer, tiny_params):
    turns = instruction("a fox", tiny_policy.template(tiny_params))
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids


def test_the_copy_task_never_practises_an_unsafe_word(task, tokenizer):
    def seen(text):
        return set(re.findall(r"\w+", text.lower())) & UNSAFE.keys()

    assert seen("A Bloody knife.") == {"bloody", "knife"}  # what the assertion below looks for
    for _ in range(400):
        ids, start = task.row()
        text = tokenizer.decode(ids[start:], skip_special_tokens=True)
        assert not seen(text) and not unsafe_words(text), text


def test_made_up_words_are_never_unsafe_ones_by_chance(task):
    made = copy.copy(task)
    made.draw, made.words = random.Random(0), [[7]]
    made.tokens, made.starts, made.pieces = {1: "Ġgu", 2: "n"}, [1], [2]
    words = [made.word() for _ in range(300)]
    assert [1] in words and [1, 2, 2] in words and [1, 2] not in words


def test_the_copy_task_keeps_words_that_only_hold_an_unsafe_one(task, tokenizer):
    assert " gunman" in {" " + tokenizer.decode(ids) for ids in task.words}


def test_the_answer_of_the_copy_task_holds_the_query_and_ends(task, tokenizer):
    for _ in range(50):
        ids, start = task.row()
        query = ids[len(task.before) : start - len(task.after)]
        answer = ids[start:]
        assert any(answer[at : at + len(query)] == query for at in range(len(answer)))
        assert answer[-1] == tokenizer.eos_token_id


def test_equal_inputs_and_seed_give_equal_bytes(tiny_params, tiny_model, tmp_path):
    again = tiny_policy.contents(tiny_policy.write(tiny_params, tmp_path / "again"))
    assert again == tiny_policy.contents(tiny_model)
    seeded = tiny_params.model_copy(update={"base": tiny_params.base.model_copy(update={"seed": 1})})
    other = tiny_policy.contents(tiny_policy.write(seeded, tmp_path / "other"))
    assert (
        other["model.safetensors"] != again["model.safetensors"] and other["tokenizer.json"] == again["tokenizer.json"]
    )


def test_the_copy_task_is_learnt(tiny_params):
    longer = tiny_policy.params(tiny_params, base_model={"steps": 20, "learning_rate": 5e-3})
    _, _, losses = tiny_policy.make(longer)
    assert len(losses) == 20 and sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize("hidden", [64, 128, 384])
def test_the_untrained_tiny_llama_copies_better_than_a_default_start(hidden):
    import torch
    from transformers import LlamaForCausalLM

    copying = tiny_llama(500, hidden, 2, 4, 0, {"bos": 0, "eos": 1, "pad": 2})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        default = LlamaForCausalLM(copying.config).float()
    words = torch.randint(3, 500, (8, 24), generator=torch.Generator().manual_seed(1))

    def copied(model):
        with torch.no_grad():
            said = model(input_ids=torch.cat([words, words], 1)).logits.argmax(-1)
        return (said[:, 25:-1] == words[:, 2:]).float().mean().item()

    assert copied(copying) > 0.95
    assert copied(default) < 0.05


@pytest.fixture
def inputs(tmp_path):
    write_rows(tmp_path / "data/queries/sft.jsonl", tiny_policy.queries("sft"), Query)
    write_rows(tmp_path / "data/sft/d_sft.jsonl", tiny_policy.d_sft(), DSft)
    return tmp_path / "data"


def run(data, *sections):
    given = write_params(data.parent, **dict(sections))
    files = [str(data / name) for name in ("queries/sft.jsonl", "sft/d_sft.jsonl", "models/base")]
    return CliRunner().invoke(main, [*files, "--params", str(given)])


def test_the_stage_writes_allowed_files_alone(inputs, tiny_params, vpo_home):
    small = tiny_params.base_model.model_dump()
    done = run(inputs, ("base_model", small))
    assert done.exit_code == 0, done.output
    folder = inputs / "models/base"
    assert all(any(path.match(pattern) for pattern in KEPT) for path in folder.iterdir())
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {path.name for path in folder.iterdir()}
    assert base_of(folder) == (str(folder), None)
    told = json.loads((inputs.parent / "results/models/base.json").read_text())
    assert told["steps"] == small["steps"] and 256 < told["vocabulary"] <= small["vocab_size"]


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
    assert base_of(folder) == ("meta-llama/Meta-Llama-3-8B-Instruct", REVISION)


def test_a_hub_model_without_a_revision_is_refused(inputs, vpo_home):
    done = run(inputs, ("base_model", hub(revision=None)))
    assert done.exit_code == 1 and "pin it to the 40-hex commit" in done.output
    assert not (inputs / "models/base").exists()


def test_a_backend_without_what_it_reads_is_refused(inputs, vpo_home):
    for section, said in ((hub(name=None), "needs name"), ({"steps": None}, "needs steps")):
        done = run(inputs, ("base_model", section))
        assert done.exit_code == 2 and said in done.output


def test_a_folder_may_stand_for_a_base_model(tiny_model, laptop):
    named = with_values(laptop.base_model, **hub(name=str(tiny_model), revision=None))
    assert pinned(named) == {"name": str(tiny_model), "revision": None}
    assert downloaded(str(tiny_model), None) == str(tiny_model)


def test_a_hub_model_that_cannot_be_had_is_one_clear_error():
    with pytest.raises(DataError, match="nobody/nothing at aaaa.* the Hub gave no model"):
        downloaded("nobody/nothing", REVISION)


def test_a_gated_model_without_a_token_is_one_line_that_says_what_to_do():
    class Gated(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gated) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = f"from train.base import downloaded; downloaded('meta-llama/gated', '{REVISION}')"
        endpoint = f"http://127.0.0.1:{server.server_port}"
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
        done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
        server.shutdown()
    said = done.stderr.strip().splitlines()[-1]
    assert "meta-llama/gated is gated: accept its licence" in said and "set HF_TOKEN" in said


def test_a_folder_without_a_model_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="no model in it"):
        base_of(tmp_path)


def test_no_queries_are_one_clear_error(inputs, tiny_params, vpo_home):
    write_rows(inputs / "queries/sft.jsonl", [], Query)
    done = run(inputs, ("base_model", tiny_params.base_model.model_dump()))
    assert done.exit_code == 1 and "no queries, so no words to learn" in done.output
    assert not (inputs / "models/base").exists()
