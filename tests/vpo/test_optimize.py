import gzip
import json

import pytest
from click import ClickException
from click.testing import CliRunner

from schemas.reasons import Reason
from schemas.seams import Outcome
from tests.support.llm_server import serving
from tests.support.small_project import ROOT, write_params
from vpo.graph import read_graph
from vpo.optimize import EMPTY, find_trained, is_made_here, main, optimize, read_queries, say_if_strange


class Repeating:
    """A policy that answers with what it was asked."""

    def map(self, queries, k, sampling, seed):
        for row in queries:
            for _ in range(k):
                yield Outcome(value=f"{row.query}, at {sampling.temperature:g}, {k} of seed {seed}")


class Silent:
    def __init__(self, reason=Reason.TRUNCATED):
        self.reason = reason

    def map(self, queries, k, sampling, seed):
        for _ in queries:
            yield Outcome(reason=self.reason, detail="no end after 120 tokens")


def model(root, name):
    (root / "data/models" / name).mkdir(parents=True)
    (root / "data/models" / name / "config.json").write_text("{}")


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_model_after_dpo_is_used_and_the_one_after_sft_without_it(tmp_path):
    model(tmp_path, "sft")
    assert find_trained(tmp_path, read_graph(ROOT)).name == "sft"
    model(tmp_path, "dpo")
    assert find_trained(tmp_path, read_graph(ROOT)).name == "dpo"


def test_an_extra_arm_is_never_used(project):
    model(project, "dpo_no_text")
    done = CliRunner().invoke(main, ["a dog"])
    assert done.exit_code == 1
    assert "no model is trained yet: run `dvc repro dpo`" in done.stderr


def test_a_folder_that_is_no_model_is_refused(project):
    done = CliRunner().invoke(main, ["a dog", "--model", "data"])
    assert done.exit_code == 1 and "data: not a model folder" in done.stderr


def test_greedy_asks_for_the_likeliest_prompt_and_else_the_params_of_optimize_hold(project, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    model(project, "dpo")
    (project / "data/models/dpo/model.safetensors").write_bytes(b"weights")
    monkeypatch.setenv("VPO_HOME", str(project / "home"))
    with serving(lambda body: ["A dog runs on the beach."] * body["n"], by_body=True) as server:
        endpoint = {"base_url": server.base_url, "model": "{folder}"}
        written = json.loads((project / "params.yaml").read_text())
        written["policy"] |= {"backend": "openai", "endpoint": written["policy"]["endpoint"] | endpoint}
        written["optimize"] |= {"temperature": 0.4, "top_p": 0.8, "max_new_tokens": 33}
        (project / "params.yaml").write_text(json.dumps(written))
        for options in (["-n", "2"], ["--greedy"]):
            done = CliRunner().invoke(main, ["a dog", *options])
            assert "A dog runs on the beach." in done.stdout, done.output
        asked = [(one["n"], one["temperature"], one["top_p"], one["max_tokens"]) for one in server.requests]
    assert asked == [(2, 0.4, 0.8, 33), (1, 0.0, 0.8, 33)]


def answers(laptop, texts, policy=None, samples=1, **values):
    params = laptop.optimize.model_copy(update=values)
    made = optimize(texts, policy or Repeating(), params, 0, keep_flags=False, samples=samples)
    return [(answer.query, answer.sample, answer.prompt, answer.failure) for answer in made]


def test_the_query_is_cleaned_as_in_training_and_an_empty_one_says_so_in_its_place(laptop):
    made = answers(laptop, [" \u200b", "  a dog&#39;s   bone -ar 16:9 ", "a cat", ""])
    assert [prompt for _, _, prompt, _ in made] == [
        "", "a dog's bone, at 0.9, 1 of seed 0", "a cat, at 0.9, 1 of seed 0", "",
    ]  # fmt: skip
    assert [failure for *_, failure in made] == [EMPTY, "", "", EMPTY]


SILENT = "the model wrote no usable prompt (truncated): no end after 120 tokens"


def test_without_a_prompt_the_query_is_served_and_it_says_why(laptop):
    (made,) = answers(laptop, ["a dog -ar 16:9"], Silent())
    assert made[2:] == ("a dog", f"{SILENT}; the query itself is served")


def test_nothing_is_served_where_the_params_ask_for_an_error(laptop):
    (made,) = answers(laptop, ["a dog"], Silent(), on_failure="error")
    assert made[2:] == ("", SILENT)


@pytest.mark.parametrize("query", ["a bloody corpse on the street", "naked children"])
def test_a_query_that_may_ask_for_harm_is_never_passed_on_raw(laptop, query):
    (made,) = answers(laptop, [query], Silent())
    assert made[2] == "" and "not passed on" in made[3]
    assert answers(laptop, [query])[0][2] == f"{query}, at 0.9, 1 of seed 0"


def test_a_refusal_stays_a_refusal(laptop):
    (made,) = answers(laptop, ["a dog"], Silent(Reason.REFUSED))
    assert made[2] == "" and "refused" in made[3]


def test_several_samples_stand_behind_each_other(laptop):
    made = answers(laptop, ["a dog", "", "a cat"], samples=2)
    assert [(query, sample) for query, sample, *_ in made] == [
        ("a dog", 0), ("a dog", 1), ("", 0), ("a cat", 0), ("a cat", 1),
    ]  # fmt: skip


def test_prompts_come_before_the_last_query_is_read(laptop):
    read = []

    def texts():
        for text in ("a dog", "a cat"):
            read.append(text)
            yield text

    first = next(optimize(texts(), Repeating(), laptop.optimize, 0, keep_flags=False))
    assert first.query == "a dog" and read == ["a dog"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "a dog\n\na cat\n"),
        ("a.txt", "a dog\ra cat\r"),
        ("a", "a dog\r\na cat"),
        ("a.jsonl", '{"query": "a dog", "prompt": "p"}\n{"query": "a cat", "prompt": "p"}\n'),
        ("a.csv", "id,text\n1,a dog\n2,a cat\n"),
        ("a.csv", "\ufeffPrompt ;id\na dog;1\na cat;2\n"),
        ("a.tsv", "id\tTEXT\n1\ta dog\n2\ta cat\n"),
        ("a.json", '["a dog", "a cat"]'),
        ("a.csv.gz", gzip.compress(b"text,id\na dog,1\na cat,2\n", mtime=0)),
    ],
)
def test_queries_are_read_as_the_stage_reads_them(tmp_path, laptop, name, text):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert [*read_queries(str(tmp_path / name), laptop.queries)] == ["a dog", "a cat"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", b"id\n1\n", "a.csv: none of the columns prompt, query, text is there"),
        ("a.jsonl", b'{"query": "a dog"}\n{"query": 5}\n', "a.jsonl: record 2: query is int, not text"),
        ("a.txt", "a café".encode("cp1252"), "convert it as windows-1252"),
        ("a.txt", b'{"query": "a dog"}\n', "it holds JSON: name it .jsonl"),
        ("a.txt", b"id,prompt\n1,a dog\n", "the header of a table: name it .csv"),
        ("a.csv", b"prompt,text\na dog,a cat\n", "prompt, text could all be meant"),
    ],
)
def test_a_file_without_queries_is_one_line(tmp_path, laptop, name, text, says):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(ClickException, match=says):
        [*read_queries(str(tmp_path / name), laptop.queries)]
    with pytest.raises(ClickException, match="none.txt"):
        [*read_queries(str(tmp_path / "none.txt"), laptop.queries)]


@pytest.mark.parametrize("words", [["--greedy", "-n", "2", "x"], ["x", "--from", "y.txt"]])
def test_words_that_do_not_go_together_are_refused(words):
    assert CliRunner().invoke(main, words).exit_code == 2


@pytest.mark.slow
def test_a_model_folder_answers_greedily_and_the_same_each_time(project, vpo_home):
    """A Llama without training, made to end at once after one word."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<end>", "<unk>", "calm"]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<end>", unk_token="<unk>")
    tokenizer.chat_template = (
        "{% for turn in messages %}{{ turn['content'] }}{{ eos_token if turn['role'] == 'assistant' }}{% endfor %}"
    )
    network = LlamaForCausalLM(
        LlamaConfig(vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
                    eos_token_id=1, pad_token_id=0, tie_word_embeddings=False)
    )  # fmt: skip
    with torch.no_grad():
        for layer in (network.model.layers[0].self_attn.o_proj, network.model.layers[0].mlp.down_proj):
            layer.weight.zero_()  # what comes next depends on the last word alone
        network.model.embed_tokens.weight.copy_(torch.eye(4, 8))
        network.lm_head.weight.zero_()
        network.lm_head.weight[words.index("calm"), words.index("<unk>")] = 9
        network.lm_head.weight[words.index("<end>"), words.index("calm")] = 9
    folder = project / "data/models/mine"
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    said = [CliRunner().invoke(main, ["a dog", "--model", str(folder), "--greedy"]) for _ in range(2)]
    assert [done.stdout for done in said] == ["calm\n", "calm\n"], said[0].output
    made = CliRunner().invoke(main, ["--model", str(folder), "--greedy", "--json"], input="a dog\n a cat\n\u200b\n")
    assert made.exit_code == 1, made.output  # of the empty one
    lines = [json.loads(line) for line in made.stdout.splitlines()]
    assert [line["query"] for line in lines] == ["a dog", " a cat", "\u200b"]
    assert [line["prompt"] for line in lines] == ["calm", "calm", ""]


def test_a_query_of_another_world_is_told_in_one_line(capsys):
    say_if_strange("a dog on grass", 600, 0)
    assert capsys.readouterr().err == ""
    say_if_strange("собака бежит по траве", 600, 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot read this query" in line and "vpo-cogvideox-2b" in line


def test_a_model_that_is_named_may_be_one_of_this_project(tmp_path):
    graph = read_graph(ROOT)
    assert is_made_here(tmp_path / "data/models/sft", tmp_path, graph)
    assert not is_made_here(tmp_path / "mine", tmp_path, graph)
