"""Weights are found, whole and no pickles before a clip is made of them."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from pipeline.backends.renderer.diffusers import Diffusers
from pipeline.runtime.io import DataError
from tests.support.tiny_pipelines import DOG, FAMILIES, SIZES

pytestmark = pytest.mark.slow


def test_a_component_that_has_pickles_alone_is_not_loaded(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("wan"), tmp_path / "half")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(DataError, match="safetensors"):
        list(Diffusers(diffusers_params(folder, **SIZES)).map([DOG]))


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_weights_that_are_not_whole_are_refused_and_never_made_up(tiny_pipeline, diffusers_params, tmp_path, part):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_pipeline("wan"), tmp_path / "lacking")
    (path,) = (folder / part).glob("*.safetensors")
    tensors = load_file(path)
    lost = next(name for name in sorted(tensors) if name.endswith("weight"))
    del tensors[lost]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(DataError, match=f"lacking/{part}: the weights lack {re.escape(lost)}"):
        list(Diffusers(diffusers_params(folder, **SIZES)).map([DOG]))


def test_damaged_weights_are_said_in_one_line(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("wan"), tmp_path / "damaged")
    next((folder / "text_encoder").glob("*.safetensors")).write_bytes(b"no weights")
    with pytest.raises(DataError, match="cannot be loaded as WanPipeline"):
        list(Diffusers(diffusers_params(folder, **SIZES)).map([DOG]))


def test_making_a_renderer_reads_no_weights(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("cogvideox"), tmp_path / "broken")
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    renderer = Diffusers(diffusers_params(folder, **SIZES, **FAMILIES["cogvideox"]))
    assert renderer.count_tokens("a dog runs") == 4
    assert list(renderer.map([])) == []


def test_a_missing_library_is_told_with_the_extra_that_brings_it(tiny_pipeline, root):
    script = (
        "import sys; sys.modules['diffusers'] = None\n"
        "from pipeline.backends.renderer.diffusers import Diffusers\n"
        "from pipeline.runtime.params_file import load_params\n"
        "from tests.support.params import with_values\n"
        "render = load_params('params.yaml').render\n"
        "Diffusers(with_values(render, backend='diffusers', model=sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_pipeline("wan"))],
        cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (
        done.returncode
        and "DataError: backend diffusers needs" in done.stderr
        and "pip install -e '.[render]'" in done.stderr
    )


def test_a_model_on_the_hub_is_found_by_its_id_and_commit(tiny_pipeline, root, tmp_path):
    commit = "ab" * 20
    shutil.copytree(tiny_pipeline("cogvideox"), tmp_path / "hub" / "models--THUDM--CogVideoX-2b" / "snapshots" / commit)
    script = (
        "import sys, json\n"
        "from schemas.seams import RenderRequest\n"
        "from pipeline.backends.renderer.diffusers import Diffusers\n"
        "from pipeline.runtime.params_file import load_params\n"
        "from tests.support.params import with_values\n"
        "render = load_params('params.yaml').render\n"
        "renderer = Diffusers(with_values(render, **json.loads(sys.argv[1])))\n"
        "(outcome,) = renderer.map([RenderRequest('a dog runs', 1)])\n"
        "print(json.dumps([renderer.by.model, renderer.by.revision, outcome.value.frames_hash]))"
    )
    values = SIZES | FAMILIES["cogvideox"] | {"backend": "diffusers", "model": "THUDM/CogVideoX-2b", "revision": commit}
    environment = {"PYTHONPATH": str(root), "HF_HUB_CACHE": str(tmp_path / "hub"), "VPO_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(values)],
        cwd=root, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model, revision, _ = json.loads(done.stdout)
    assert (model, revision) == ("THUDM/CogVideoX-2b", commit)
    assert "it/s" not in done.stderr and "truncated" not in done.stderr
