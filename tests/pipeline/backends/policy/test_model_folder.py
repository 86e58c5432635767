import json
import shutil

import pytest

from pipeline.backends.policy.model_folder import model_revision
from pipeline.runtime.named_model import NAMED

pytestmark = pytest.mark.slow


def test_the_revision_is_of_weights_tokenizer_and_template_alone(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    before = model_revision(folder)
    (folder / "README.md").write_text("a card")
    (folder / "model.json").write_text("{}")
    assert model_revision(folder) == before == model_revision(tiny_model)
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json", "generation_config.json"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept + b" ")
        assert model_revision(folder) != before, name
        (folder / name).write_bytes(kept)


def test_a_folder_that_names_a_model_has_that_ones_revision_or_its_commits(tiny_model, tmp_path):
    def revision(name, commit):
        (tmp_path / NAMED).write_text(json.dumps({"name": name, "revision": commit}))
        return model_revision(tmp_path)

    assert revision(str(tiny_model), None) == model_revision(tiny_model)
    pinned = {
        revision("meta-llama/x", "a" * 40),
        revision("meta-llama/x", "b" * 40),
        revision("meta-llama/y", "a" * 40),
    }
    assert len(pinned) == 3 and all(len(name) == 16 for name in pinned)
