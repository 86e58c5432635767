import pytest

from pipeline.publishing.secret_scan import SHAPES, secrets_said, values_of

KEYS = {
    "a Hugging Face token": ["hf_" + "a" * 34],
    "an OpenAI key": ["sk-" + "a" * 40, "sk-proj-" + "a_-" * 10],
    "a GitHub token": [*(f"gh{kind}_" + "a" * 36 for kind in "pousr"), "github_pat_" + "a" * 70],
    "an AWS key": ["AKIA" + "A1" * 8, "ASIA" + "A1" * 8],
    "a Google key": ["AIza" + "a" * 35],
    "a Slack token": [f"xox{kind}-" + "1" * 12 for kind in "abprs"],
    "a private key": ["-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----"],
}


@pytest.mark.parametrize(("what", "key"), [(what, key) for what, keys in KEYS.items() for key in keys])
def test_every_shape_of_a_key_is_found_in_a_text(what, key):
    assert list(secrets_said(f"it is {key}.", {})) == [what]


def test_each_shape_has_an_example():
    assert KEYS.keys() == SHAPES.keys()


def test_the_environment_s_own_values_are_found_by_name():
    values = values_of({"MY_TOKEN": "a-long-value", "A_KEY": "short", "PATH": "a-long-value"})
    assert list(secrets_said("said a-long-value", values)) == ["the value of $MY_TOKEN"]
    assert list(secrets_said("a risk-free evening", values)) == []
