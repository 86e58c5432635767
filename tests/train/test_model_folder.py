import json
import shutil

import pytest

from pipeline.backends.weights import folder_revision
from pipeline.runtime.io import DataError
from pipeline.runtime.named_model import NAMED
from train.checkpoints import hash_weights
from train.model_folder import read_base, read_origin

LLAMA = "meta-llama/Meta-Llama-3-8B-Instruct"


def test_the_origin_travels_from_the_named_base_to_a_model_of_a_model(tmp_path):
    for name, contents in (
        (NAMED, {"name": LLAMA, "revision": "a" * 40}),
        ("model.json", {"origin": LLAMA, "base": "sft"}),
    ):
        (tmp_path / name).write_text(json.dumps(contents))
        assert read_origin(tmp_path) == LLAMA
        (tmp_path / name).unlink()
    assert read_origin(tmp_path) is None


def test_a_base_in_a_folder_is_named_without_the_path_to_it(tmp_path):
    base, own, other = (tmp_path / name for name in ("base", "own", "Meta-Llama-3-8B"))
    for folder in (base, own, other):
        folder.mkdir()
    (base / NAMED).write_text(json.dumps({"name": str(other), "revision": None}))
    assert read_origin(base) == "Meta-Llama-3-8B"
    (base / NAMED).write_text(json.dumps({"name": str(own), "revision": None}))
    (own / "model.json").write_text(json.dumps({"origin": LLAMA}))
    assert read_origin(base) == LLAMA


def test_a_folder_without_a_model_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="no model in it"):
        read_base(tmp_path)


def test_a_folder_that_still_holds_a_card_is_the_same_model(tiny_model, tmp_path):
    older = shutil.copytree(tiny_model, tmp_path / "older")
    (older / "README.md").write_text("a card that training wrote")
    assert hash_weights(older) == hash_weights(tiny_model) and folder_revision(older) == folder_revision(tiny_model)
    assert read_base(older) == (str(older), None)
