import json
import shlex

import pytest
from click.testing import CliRunner

from pipeline.runtime.named_model import NAMED
from tests.support.small_project import write_params
from vpo.serve_policy import advice, command, main


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    write_params(tmp_path, rollout={"max_new_tokens": 2048})
    model = tmp_path / "data/models/sft"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"max_position_embeddings": 8192}))
    return model


@pytest.fixture
def inside(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def value(words, flag):
    return words[words.index(flag) + 1]


def test_the_command_is_printed_alone_on_standard_output(inside):
    done = CliRunner().invoke(main, ["data/models/sft", "--port", "8123"])
    assert done.exit_code == 0, done.output
    words = shlex.split(done.stdout)
    assert words[:3] == ["vllm", "serve", "data/models/sft"]
    assert (value(words, "--served-model-name"), value(words, "--port")) == ("sft", "8123")
    assert value(words, "--max-model-len") == "3072"
    assert "-S policy.endpoint.base_url=http://127.0.0.1:8123/v1" in done.stderr


def test_a_named_base_is_served_under_the_folders_name(inside, folder):
    base = inside / "data/models/base"
    base.mkdir()
    (base / NAMED).write_text(json.dumps({"name": str(folder), "revision": None}))
    done = CliRunner().invoke(main, ["data/models/base"])
    assert done.exit_code == 0, done.output
    words = shlex.split(done.stdout)
    assert words[2] == str(folder) and value(words, "--served-model-name") == "base" and "--revision" not in words


def test_the_servers_own_sampling_defaults_are_not_taken(folder):
    assert value(command(folder, 120, "127.0.0.1", 8000), "--generation-config") == "vllm"


def test_no_more_places_than_the_model_has(folder):
    assert value(command(folder, 9000, "127.0.0.1", 8000), "--max-model-len") == "8192"


def test_no_key_stands_in_the_command(folder):
    assert "--api-key" not in command(folder, 120, "127.0.0.1", 8000)
    assert "export VLLM_API_KEY=" in advice(folder, "127.0.0.1", 8000, True)


def test_it_says_how_to_get_vllm_where_it_is_missing(folder):
    assert "pip install vllm" in advice(folder, "127.0.0.1", 8000, installed=False)
    assert "pip install vllm" not in advice(folder, "127.0.0.1", 8000, installed=True)


def test_a_folder_that_is_no_model_is_refused(inside):
    done = CliRunner().invoke(main, ["data"])
    assert done.exit_code == 1 and "data: not a model folder" in done.stderr
