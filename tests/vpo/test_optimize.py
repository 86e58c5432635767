import pytest
from click import ClickException
from click.testing import CliRunner

from schemas.reasons import Reason
from schemas.seams import Outcome
from tests.support.small_project import ROOT, write_params
from vpo.graph import read_graph
from vpo.optimize import clean_query, find_trained, main, optimize


class Repeating:
    """A policy that answers with what it was asked."""

    def map(self, queries, k, sampling, seed):
        for row in queries:
            yield Outcome(value=f"{row.query}, at {sampling.temperature:g}, {k} of seed {seed}")


class Silent:
    def __init__(self, reason=Reason.TRUNCATED):
        self.reason = reason

    def map(self, queries, k, sampling, seed):
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


def test_the_query_is_cleaned_as_in_training_and_an_empty_one_refused():
    assert clean_query("  a dog&#39;s   bone -ar 16:9 ", keep_flags=False) == "a dog's bone"
    with pytest.raises(ClickException, match="empty"):
        clean_query(" \u200b\n", keep_flags=False)


def test_one_prompt_is_asked_for_with_the_seed_of_the_params(laptop):
    assert optimize("a dog", Repeating(), laptop.optimize, 0) == "a dog, at 0.9, 1 of seed 0"


def test_without_a_prompt_the_query_is_served_and_it_says_why(laptop, capsys):
    assert optimize("a dog", Silent(), laptop.optimize, 0) == "a dog"
    assert "(truncated): no end after 120 tokens; the query itself is served" in capsys.readouterr().err


def test_nothing_is_served_where_the_params_ask_for_an_error(laptop):
    strict = laptop.optimize.model_copy(update={"on_failure": "error"})
    with pytest.raises(ClickException, match="truncated.*no end after 120 tokens"):
        optimize("a dog", Silent(), strict, 0)


@pytest.mark.parametrize("query", ["a bloody corpse on the street", "naked children"])
def test_a_query_that_may_ask_for_harm_is_never_passed_on_raw(laptop, query):
    with pytest.raises(ClickException, match="not passed on"):
        optimize(query, Silent(), laptop.optimize, 0)
    assert optimize(query, Repeating(), laptop.optimize, 0) == f"{query}, at 0.9, 1 of seed 0"


def test_a_refusal_stays_a_refusal(laptop):
    with pytest.raises(ClickException, match="refused"):
        optimize("a dog", Silent(Reason.REFUSED), laptop.optimize, 0)


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
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
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
