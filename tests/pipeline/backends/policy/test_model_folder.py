import shutil

import pytest

from pipeline.backends.policy.model_folder import model_revision

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
