import pytest

from pipeline.backends.policy import make_policy
from pipeline.backends.policy.openai import OpenAI
from pipeline.runtime.store import Store
from tests.support import tiny_policy
from tests.support.llm_server import serving
from tests.support.params import with_values

QUERIES = tiny_policy.queries()


@pytest.fixture
def policy(laptop, tmp_path, monkeypatch, root):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    folder = tmp_path / "sft"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")

    def make(server):
        params = with_values(
            laptop.policy,
            backend="openai",
            endpoint={"base_url": server.base_url, "attempts": 1},
            template=str(root / laptop.policy.template),
        )
        return OpenAI(folder, params, Store(tmp_path / "store"))

    make.folder = folder
    return make


def numbered(model, messages):
    return [f"{model} {number}" for number in range(3)]


def rollout(policy, laptop, queries=QUERIES, seed=0):
    return list(policy.map(queries, 3, laptop.rollout, seed))


def test_k_samples_of_a_query_are_one_request(policy, laptop):
    with serving(numbered) as server:
        outcomes = rollout(policy(server), laptop)
        sent = server.requests
    assert [outcome.value for outcome in outcomes] == ["sft 0", "sft 1", "sft 2"] * len(QUERIES)
    assert len(sent) == len(QUERIES)
    assert {(body["n"], body["temperature"], body["top_p"], body["max_tokens"]) for body in sent} == {
        (3, 0.9, 0.9, 120)
    }
    assert len({body["seed"] for body in sent}) == len(QUERIES)


def test_one_greedy_answer_is_asked_for_and_stands_for_all(policy, laptop):
    greedy = laptop.rollout.model_copy(update={"temperature": 0.0})
    with serving(lambda model, messages: ["one"]) as server:
        outcomes = list(policy(server).map(QUERIES[:1], 3, greedy, 0))
        assert [body["n"] for body in server.requests] == [1]
    assert [outcome.value for outcome in outcomes] == ["one"] * 3


def test_samples_are_drawn_once_and_again_for_other_weights_or_another_seed(policy, laptop):
    with serving(numbered) as server:
        once = rollout(policy(server), laptop)
        assert rollout(policy(server), laptop, QUERIES[::-1])[-3:] == once[:3]
        assert len(server.requests) == len(QUERIES)
        rollout(policy(server), laptop, seed=1)
        assert len(server.requests) == 2 * len(QUERIES)
        (policy.folder / "model.safetensors").write_bytes(b"other weights")
        rollout(policy(server), laptop)
        assert len(server.requests) == 3 * len(QUERIES)


def test_a_sample_without_an_end_is_set_aside_alone(policy, laptop):
    with serving(numbered, fault_share=1.0, faults=("length",)) as server:
        outcomes = rollout(policy(server), laptop, QUERIES[:1])
    assert [outcome.reason for outcome in outcomes] == ["truncated"] * 3


def test_too_few_choices_are_no_answer(policy, laptop):
    with serving(lambda model, messages: ["one"]) as server:
        outcomes = rollout(policy(server), laptop, QUERIES[:1])
    assert [outcome.reason for outcome in outcomes] == ["failed"] * 3


def test_a_filtered_query_loses_all_its_samples(policy, laptop):
    with serving(numbered, fault_share=1.0, faults=("content_filter",)) as server:
        outcomes = rollout(policy(server), laptop, QUERIES[:1])
    assert [outcome.reason for outcome in outcomes] == ["content_filter"] * 3


def test_params_choose_the_server(policy, laptop):
    with serving(numbered) as server:
        assert isinstance(make_policy(policy.folder, policy(server).params), OpenAI)
