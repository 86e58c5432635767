import base64
import gzip

import pytest

from pipeline.publishing.secret_scan import SHAPES, secrets_in, secrets_said, values_of

KEYS = {
    "a Hugging Face token": ["hf_" + "a" * 34],
    "an OpenAI key": ["sk-" + "a" * 40, "sk-proj-" + "a_-" * 10],
    "a GitHub token": [*(f"gh{kind}_" + "a" * 36 for kind in "pousr"), "github_pat_" + "a" * 70],
    "an AWS key": ["AKIA" + "A1" * 8, "ASIA" + "A1" * 8],
    "a Google key": ["AIza" + "a" * 35],
    "a Slack token": [f"xox{kind}-" + "1" * 12 for kind in "abprs"],
    "a JSON Web Token": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLW9mLWl0"],
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


def test_what_looks_like_a_secret_is_one_whatever_its_name():
    environment = {
        "HF_TOKEN_FILE_TEXT": "token-of-eight", "DB": "postgres://me:p4ssw0rd!@host/db", "MINE": "hf_" + "a" * 34,
        "my_password": "letmein-now", "AUTHOR": "a-long-value", "KEYBOARD": "a-long-value", "EDITOR": "vim-vim-vim",
    }  # fmt: skip
    assert set(values_of(environment).values()) == {"token-of-eight", "p4ssw0rd!", "hf_" + "a" * 34, "letmein-now"}


def test_a_key_behind_base64_and_gzip_is_found(tmp_path):
    key = "hf_" + "a" * 34
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for ending in ("", "?", "??"):
            text = encode(f"it is {key} {ending}".encode()).decode()
            assert list(secrets_said(f"a {text} b", {})) == ["a Hugging Face token in base64"]
    (tmp_path / "README.md").write_bytes(gzip.compress(f"said {key}".encode()))
    assert list(secrets_in(tmp_path, {})) == ["README.md: a Hugging Face token"]


def test_long_words_and_hashes_are_no_secrets():
    text = "supercalifragilisticexpialidocious " + "0f" * 32 + " https://example.org/a/very/long/path/to/a/page"
    assert list(secrets_said(text, {"the value of $A": "abcdefgh"})) == []
