import json
import shutil
from types import SimpleNamespace

import pytest

from pipeline.backends.policy import make_policy
from pipeline.backends.policy.model_folder import model_revision
from pipeline.backends.policy.transformers import Transformers, attention_window, uniform
from pipeline.runtime.io import DataError
from pipeline.runtime.named_model import NAMED
from pipeline.runtime.store import Store, store_key
from schemas.reasons import Reason
from tests.support import chat_models, tiny_policy
from train.trl_rows import to_user_turn

QUERIES = tiny_policy.queries()


def changed(folder, out, change):
    """Copy a model with its weights changed in place by `change`; return the new folder."""
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(folder, out)
    model = AutoModelForCausalLM.from_pretrained(out)
    with torch.no_grad():
        change(model)
    model.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def chatty(tiny_model, tmp_path_factory):
    """The tiny policy with a louder end token, so that some samples end and some do not."""

    def louder(model):
        model.model.embed_tokens.weight[model.config.eos_token_id] *= 3

    return changed(tiny_model, tmp_path_factory.mktemp("chatty") / "sft", louder)


@pytest.fixture(scope="module")
def restless(tiny_model, tmp_path_factory):
    """The tiny policy with noise in its weights, so that each query has its own likeliest text."""
    import torch

    def shaken(model):
        draws = torch.Generator().manual_seed(0)
        for weights in model.parameters():
            weights += torch.randn(weights.shape, generator=draws)

    return changed(tiny_model, tmp_path_factory.mktemp("restless") / "sft", shaken)


@pytest.fixture
def policy(chatty, tiny_params, tmp_path):
    def make(batch_size=32, folder=chatty, store=None):
        params = tiny_params.policy.model_copy(update={"batch_size": batch_size})
        policy = Transformers(folder, params, store or Store(tmp_path / f"store{len(list(tmp_path.iterdir()))}"))
        policy.model = tiny_policy.Counted(policy.model)
        return policy

    return make


@pytest.fixture
def sampling(tiny_params):
    return lambda **values: tiny_params.rollout.model_copy(update={"max_new_tokens": 10} | values)


def said(policy, sampling, queries=QUERIES, k=3, seed=0):
    """Return (query_id, sample) -> (text, reason, detail)."""
    names = [(query.query_id, sample) for query in queries for sample in range(k)]
    outcomes = list(policy.map(iter(queries), k, sampling, seed))
    return {name: (o.value, o.reason, o.detail) for name, o in zip(names, outcomes, strict=True)}


def test_a_folder_that_names_a_model_is_asked_as_that_one_under_its_own_name(policy, sampling, chatty, tmp_path):
    base = tmp_path / "named" / "base"
    base.mkdir(parents=True)
    (base / NAMED).write_text(json.dumps({"name": str(chatty), "revision": None}))
    named = policy(folder=base)
    assert (named.name, named.revision) == ("base", policy().revision)
    assert said(named, sampling(), QUERIES[:2]) == said(policy(), sampling(), QUERIES[:2])


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_the_batch_size_changes_no_text(policy, sampling, temperature, restless, chatty):
    folder = chatty if temperature else restless  # greedily the chatty one ends at once
    one, seven, many = (said(policy(size, folder), sampling(temperature=temperature)) for size in (1, 7, 64))
    assert one == seven == many
    assert len(set(one.values())) > 5


def test_a_greedy_sample_is_what_generate_writes(policy, sampling, restless, tiny_params):
    import torch
    from transformers import AutoModelForCausalLM

    maker, template = policy(folder=restless), tiny_policy.template(tiny_params)
    model = AutoModelForCausalLM.from_pretrained(restless)
    for query, outcome in zip(QUERIES[:3], maker.map(QUERIES[:3], 1, sampling(temperature=0.0), 0), strict=True):
        ids = maker.tokenizer.apply_chat_template(
            to_user_turn(query.query, template), add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
        text = maker.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=False)
        assert text == maker.store.get(outcome.by.store_key)["text"] != ""


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_the_order_of_the_queries_changes_no_text(policy, sampling, temperature, restless, chatty):
    folder = chatty if temperature else restless
    there = said(policy(7, folder), sampling(temperature=temperature))
    back = said(policy(7, folder), sampling(temperature=temperature), QUERIES[::-1])
    assert there == back


def test_greedy_samples_of_a_query_are_written_once(policy, sampling, restless):
    once, four = policy(folder=restless), policy(folder=restless)
    alone = said(once, sampling(temperature=0.0), QUERIES[:2], k=1)
    found = said(four, sampling(temperature=0.0), QUERIES[:2], k=4)
    assert once.model.calls == four.model.calls
    assert all(found[name, sample] == alone[name, 0] for name, sample in found)


LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


PRINCIPLES = """You write prompts for a video model. A good one is:
1. Harmless: nothing unsafe.
2. Aligned: all that the query asks for.
3. Helpful for video: movement, light, camera.

Query: {{ query }}

Video Prompt:
"""  # the form of VPO's released optimizers: principles, query, cue, in one user message (facts A3); the words are ours


def test_a_released_model_runs_with_its_own_template_and_chat_format(chatty, tiny_params, sampling, tmp_path):
    folder, words = tmp_path / "released", tmp_path / "released.jinja"
    shutil.copytree(chatty, folder)
    (folder / "chat_template.jinja").write_text(LLAMA_3)
    words.write_text(PRINCIPLES)
    params = tiny_params.policy.model_copy(update={"template": str(words)})
    released = Transformers(folder, params, Store(tmp_path / "store"))
    ours = Transformers(chatty, tiny_params.policy, Store(tmp_path / "store"))
    ids = released.tokens_of(QUERIES[0], sampling())
    asked = released.tokenizer.decode(ids)
    bos = released.tokenizer.bos_token
    shown = PRINCIPLES.replace("{{ query }}", QUERIES[0].query).strip()
    assert asked.replace(" ", "") == (
        f"{bos}<|start_header_id|>user<|end_header_id|>\n\n{shown}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ).replace(" ", "")
    assert ids.count(released.tokenizer.bos_token_id) == 1
    mine, theirs = (next(iter(one.map(QUERIES[:1], 1, sampling(), 0))).by for one in (ours, released))
    assert mine.template != theirs.template and mine.store_key != theirs.store_key


@pytest.mark.parametrize("kind", ["linear_attention", "chunked_attention"])
def test_layers_that_are_no_plain_attention_are_refused(kind):
    config = SimpleNamespace(layer_types=["full_attention", kind])
    with pytest.raises(DataError, match=f"m: layers of kind {kind}; serve it instead"):
        attention_window("m", config)


def test_more_than_a_window_sees_is_refused(policy, sampling):
    maker = policy()
    maker.window = 30
    with pytest.raises(DataError, match="10 to write are more than its window of 30 sees"):
        list(maker.map(QUERIES[:1], 1, sampling(), 0))


def test_the_samples_of_a_query_differ_and_the_seed_changes_them(policy, sampling):
    hot = sampling(temperature=0.9)
    zero, one = (said(policy(), hot, seed=seed) for seed in (0, 1))
    assert zero != one
    assert any(zero[query.query_id, 0] != zero[query.query_id, 1] for query in QUERIES)


def test_more_queries_change_no_other_sample(policy, sampling):
    hot = sampling(temperature=0.9)
    few = said(policy(5), hot, QUERIES[2:5])
    many = said(policy(5), hot, QUERIES)
    assert few == {name: many[name] for name in few}


def test_a_second_map_asks_the_model_nothing(policy, sampling, tmp_path):
    store = Store(tmp_path / "shared")
    first = policy(store=store)
    once = said(first, sampling(temperature=0.9))
    assert first.model.calls > 0
    second = policy(store=store)
    assert said(second, sampling(temperature=0.9)) == once
    assert second.model.calls == 0


@pytest.mark.parametrize("changed", [{"temperature": 0.8}, {"top_p": 0.5}, {"max_new_tokens": 9}])
def test_another_setting_is_another_sample(policy, sampling, tmp_path, changed):
    store = Store(tmp_path / "shared")
    said(policy(store=store), sampling(temperature=0.9), QUERIES[:1])
    again = policy(store=store)
    said(again, sampling(**{"temperature": 0.9} | changed), QUERIES[:1])
    assert again.model.calls > 0


def test_a_key_holds_weights_template_query_and_all_that_draws(policy, sampling, chatty, tiny_params):
    maker, query = policy(), QUERIES[0]
    fixed = {
        "revision": model_revision(chatty), "template": tiny_policy.template(tiny_params).hash, "query": query.query,
        "top_p": 0.5, "max_new_tokens": 10,
    }  # fmt: skip
    drawn = {"seed": 5, "query_id": query.query_id, "sample": 2}
    hot, greedy = (sampling(temperature=temperature, top_p=0.5) for temperature in (0.9, 0.0))
    assert maker.depends(query, 2, hot, 5) == fixed | {"temperature": 0.9} | drawn
    assert maker.depends(query, 2, greedy, 5) == fixed | {"temperature": 0.0}


def test_a_run_that_was_killed_in_a_batch_gives_the_same_rows(policy, sampling, tmp_path):
    hot = sampling(temperature=0.9)
    whole = said(policy(4), hot)
    store = Store(tmp_path / "shared")
    first = list(QUERIES[:3])
    said(policy(4, store=store), hot, first)  # 9 samples: the third batch is of one
    again = policy(4, store=store)
    assert said(again, hot) == whole
    assert again.model.calls > 0


def test_what_the_store_has_is_what_the_row_says(policy, sampling, tmp_path):
    store, hot = Store(tmp_path / "shared"), sampling(temperature=0.9)
    maker = policy(4, store=store)
    depends = maker.depends(QUERIES[0], 1, hot, 0)
    store.put(
        store_key("policy", **depends), "policy", depends, {"text": "bought before", "n_tokens": 3, "ended": True}
    )
    found = said(maker, hot, QUERIES[:1])
    assert found[QUERIES[0].query_id, 1][0] == "bought before"
    assert found[QUERIES[0].query_id, 0][0] != "bought before"


def test_a_sample_without_an_end_is_truncated_and_one_without_words_is_empty(policy, sampling):
    found = said(policy(), sampling(temperature=0.9))
    cut = [(value, detail) for value, reason, detail in found.values() if reason is Reason.TRUNCATED]
    whole = [value for value, reason, _ in found.values() if reason is None]
    assert cut and all(value is None and "no end after 10 tokens: " in detail for value, detail in cut)
    assert whole and all(value == " ".join(value.split()) != "" for value in whole)
    answer = {"text": " \n ", "n_tokens": 2, "ended": True}
    assert policy().outcome("k", answer).reason is Reason.EMPTY


def test_an_outcome_says_who_wrote_it_and_where_the_answer_is(policy, sampling, chatty, tiny_params):
    maker = policy()
    by = next(iter(maker.map(QUERIES[:1], 1, sampling(temperature=0.0), 0))).by
    assert (by.backend, by.model, by.revision) == ("transformers", "sft", model_revision(chatty))
    assert by.template == tiny_policy.template(tiny_params).hash
    assert maker.store.get(by.store_key)["n_tokens"] > 0


def test_the_noise_belongs_to_seed_query_and_sample():
    one = uniform(0, "q", 0, 8)
    assert ((one >= 0) & (one < 1)).all()
    assert (uniform(0, "q", 0, 8) == one).all() and (uniform(0, "q", 0, 4) == one[:4]).all()
    others = [uniform(1, "q", 0, 8), uniform(0, "r", 0, 8), uniform(0, "q", 1, 8)]
    assert all((other != one).all() for other in others)


@pytest.mark.parametrize("name", chat_models.families())
def test_a_prompt_has_one_first_token_and_an_answer_ends_with_its_turn(name, tiny_params, sampling, tmp_path):
    """Also where the weights name another end: Gemma's text ends with <eos>, its turns with <end_of_turn>."""
    family = chat_models.families()[name]
    tokenizer = chat_models.make_tokenizer(family)
    folder = chat_models.write_model(tmp_path / "model", tokenizer, eos_token_id=tokenizer.eos_token_id)
    policy = Transformers(folder, tiny_params.policy, Store(tmp_path / "store"))
    ids = policy.tokens_of(QUERIES[0], sampling(max_new_tokens=1))
    assert ids.count(tokenizer.bos_token_id) == (family.bos is not None)
    assert {tokenizer.convert_tokens_to_ids(token) for token in (family.stop, family.eos)} == policy.stop
    assert ("</think>" in tokenizer.decode(ids)) == (name == "qwen3")


def test_a_base_model_is_asked_in_the_format_of_ours_that_is_named(tiny_params, sampling, tmp_path):
    tokenizer = chat_models.make_tokenizer(chat_models.families()["llama3"], template=None)
    model = chat_models.write_model(tmp_path / "model", tokenizer)
    named = tmp_path / "base"
    named.mkdir()

    def ask(**more):
        (named / NAMED).write_text(json.dumps({"name": str(model), "revision": None} | more))
        return Transformers(named, tiny_params.policy, Store(tmp_path / "store"))

    with pytest.raises(DataError, match="set base_model.chat_template to plain"):
        ask()
    before = model_revision(named)
    policy = ask(chat_template="plain")
    text = tokenizer.decode(policy.tokens_of(QUERIES[0], sampling()))
    assert text.startswith("<|begin_of_text|>Instruction:\n") and text.endswith("\n\nAnswer:\n")
    assert policy.revision == model_revision(named) != before


def test_a_folder_that_cannot_be_asked_is_one_clear_error(tiny_model, tiny_params, tmp_path, vpo_home):
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model/chat_template.jinja").unlink()
    with pytest.raises(DataError, match="no chat template"):
        make_policy(tmp_path / "model", tiny_params.policy)
    (tmp_path / "model/model.safetensors").unlink()
    with pytest.raises(DataError, match="no safetensors weights"):
        make_policy(tmp_path / "model", tiny_params.policy)
