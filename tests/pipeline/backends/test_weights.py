import pytest

from pipeline.backends.renderer.diffusers import Diffusers
from pipeline.backends.weights import name_of, refuse_lacking, revision_of
from pipeline.runtime.io import DataError


@pytest.mark.slow
def test_a_folder_of_pickles_is_refused(diffusers_params, tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(DataError, match="is a pickle"):
        Diffusers(diffusers_params(tmp_path))


COMMIT = "a" * 40


def folder_with(path, **files):
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_text(content)
    return path


@pytest.mark.parametrize(
    ("model", "revision", "says"),
    [
        ("a/b", None, "set revision to the model's 40-hex commit"),
        ("a/b", "main", "set revision to the model's 40-hex commit"),
        ("no/such/folder", COMMIT, "no such folder, and no owner/name"),
    ],
)
def test_a_model_that_could_change_unseen_is_refused(model, revision, says):
    with pytest.raises(DataError, match=says):
        revision_of(model, revision)


def test_a_pinned_model_is_its_commit():
    assert revision_of("a/b", COMMIT) == COMMIT and name_of("a/b") == "a/b"


def test_a_folder_is_the_hash_of_its_files_wherever_it_lies(tmp_path):
    one = folder_with(tmp_path / "one" / "m", model__safetensors="w", config__json="{}")
    two = folder_with(tmp_path / "two" / "m", model__safetensors="w", config__json="{}", README__md="words")
    other = folder_with(tmp_path / "three" / "m", model__safetensors="v", config__json="{}")
    assert revision_of(str(one), None) == revision_of(str(two), None) != revision_of(str(other), None)
    assert name_of(str(one)) == "m"
    with pytest.raises(DataError, match="is a folder, whose revision is the hash of its files"):
        revision_of(str(one), COMMIT)


def test_missing_weights_are_named_and_the_rest_counted():
    refuse_lacking([], "m")
    with pytest.raises(DataError, match="m: the weights lack a, b, c and 2 more"):
        refuse_lacking("edcba", "m")
