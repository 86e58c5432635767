import pytest
from pydantic import ValidationError

from schemas import params_policy
from schemas.needs import Weights
from tests.support.bounds import bounds_of
from tests.support.params import section_of, with_values

EMPTY = {"base_url": None, "model": None, "max_concurrency": None}


def test_an_endpoint_without_any_value_is_none(laptop):
    assert with_values(laptop.policy, endpoint=EMPTY) == laptop.policy


def test_a_served_policy_needs_its_endpoint(laptop):
    for endpoint in (None, EMPTY):
        with pytest.raises(ValidationError, match="backend openai needs endpoint"):
            with_values(laptop.policy, backend="openai", endpoint=endpoint)


def test_an_endpoint_is_read_by_openai_alone(laptop):
    with pytest.raises(ValidationError, match="endpoint is read by openai, not by transformers: set it to null"):
        with_values(laptop.policy, endpoint=EMPTY | {"base_url": "http://host/v1"})


def test_empty_values_of_an_endpoint_are_its_defaults(laptop):
    policy = with_values(laptop.policy, backend="openai", endpoint=EMPTY | {"base_url": "http://host/v1"})
    assert (policy.endpoint.model, policy.endpoint.max_concurrency) == ("{folder}", 64)
    assert policy.needs.address == "http://host/v1" and policy.needs.keys == ()


def test_a_real_base_model_is_named_to_be_pinned(laptop):
    named = section_of("base_model", backend="hub", name="a/b", revision="c" * 40)
    assert named.needs.weights == Weights("a/b", "c" * 40)
    assert laptop.base_model.needs.weights is None and laptop.base_model.needs.stand_in


BOUNDS = {
    "OpenAIPolicyParams": {
        "batch_size": "> 0",
    },
    "RolloutParams": {
        "k": ">= 1",
    },
    "SamplingParams": {
        "temperature": ">= 0", "top_p": "> 0, <= 1", "max_new_tokens": "> 0",
    },
    "TinyModelParams": {
        "vocab_size": "> 300", "hidden_size": "> 0", "num_hidden_layers": "> 0", "num_attention_heads": "> 0",
        "steps": "> 0", "batch_size": "> 0", "learning_rate": "> 0",
    },
    "TransformersPolicyParams": {
        "batch_size": "> 0",
    },
}  # fmt: skip


@pytest.mark.parametrize("section", BOUNDS)
def test_a_value_beyond_what_makes_sense_is_refused(section):
    """Written twice on purpose; a new field may join."""
    assert bounds_of(getattr(params_policy, section), BOUNDS[section]) == BOUNDS[section]
