"""Weights of the CLIP family: whole, of this model and no pickles, or a word about what is wrong."""

import os
import shutil
import subprocess
import sys
from functools import partial

import pytest
from click.testing import CliRunner

from pipeline.backends.reward import make_reward
from pipeline.backends.reward.convert import main as convert
from pipeline.runtime.io import DataError
from tests.support import tiny_clip_scorers as tiny
from tests.support.clip_scores import CLIPS, params_of, score, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


@pytest.mark.parametrize("backend", ["clip", "aesthetic", "mps"])
def test_weights_that_are_no_numbers_stop_the_stage(clip_scorers, tmp_path, backend):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(clip_scorers / ("mps" if backend == "mps" else "clip"), broken)
    tensors = load_file(broken / "model.safetensors")
    name = next(name for name in tensors if name.endswith("visual_projection.weight"))
    save_file(tensors | {name: tensors[name] * float("nan")}, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="neither a good nor a spoilt clip .* is nan"):
        score(at(clip_scorers, backend, broken), CLIPS[:1])


def at(folder, backend, model):
    return params_of(folder, backend).model_copy(update={"model": str(model)})


def changed(folder, tmp_path, kind, change):
    """Return a copy of a model folder whose tensors `change` was applied to."""
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "changed"
    shutil.copytree(folder / kind, copy)
    tensors = load_file(copy / "model.safetensors")
    change(tensors)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@pytest.mark.parametrize("backend", ["clip", "mps"])
def test_a_lacking_weight_is_named_and_never_made_up(clip_scorers, tmp_path, backend):
    def lose(tensors):
        del tensors[next(name for name in sorted(tensors) if "to_kv" in name or name == "visual_projection.weight")]

    copy = changed(clip_scorers, tmp_path, backend, lose)
    named = "visual_projection.weight" if backend == "clip" else "cross_model.layers.0.0.fn.to_kv.weight"
    with pytest.raises(DataError, match=f"not the weights of .*: lacks {named}"):
        score(at(clip_scorers, backend, copy))


@pytest.mark.parametrize("backend", ["clip", "mps"])
def test_a_weight_that_the_model_does_not_have_is_named(clip_scorers, tmp_path, backend):
    import torch

    copy = changed(clip_scorers, tmp_path, backend, lambda tensors: tensors.update({"another.weight": torch.zeros(2)}))
    with pytest.raises(DataError, match="has beyond them another.weight"):
        score(at(clip_scorers, backend, copy))


def test_a_weight_of_another_shape_is_refused(clip_scorers, tmp_path):
    import torch

    copy = changed(
        clip_scorers, tmp_path, "clip", lambda tensors: tensors.update({"visual_projection.weight": torch.zeros(3, 3)})
    )
    with pytest.raises(DataError, match="cannot be loaded as CLIPModel"):
        score(at(clip_scorers, "clip", copy))


def test_mps_weights_of_the_mirror_are_read_by_their_names(clip_scorers, tmp_path):
    def mirror(tensors):
        for name in list(tensors):
            tensors[f"mps.{name}"] = tensors.pop(name)

    copy = changed(clip_scorers, tmp_path, "mps", mirror)
    assert values(score(at(clip_scorers, "mps", copy))) == values(score(params_of(clip_scorers, "mps")))


@pytest.mark.parametrize("backend", ["clip", "mps"])
def test_weights_that_are_pickles_are_refused(clip_scorers, tmp_path, backend):
    import torch

    (tmp_path / "config.json").write_text("{}")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="pytorch_model.bin is a pickle"):
        make_reward(at(clip_scorers, backend, tmp_path))


def test_a_hub_model_without_its_commit_is_refused():
    with pytest.raises(DataError, match="set revision to the model's 40-hex commit"):
        make_reward(tiny.params("clip", "openai/clip-vit-large-patch14"))


@pytest.mark.parametrize("lost", ["preprocessor_config.json", "tokenizer.json"])
def test_a_folder_without_its_processor_says_which_file_to_copy(clip_scorers, tmp_path, lost):
    shutil.copytree(clip_scorers / "clip", tmp_path / "bare")
    (tmp_path / "bare" / lost).unlink()
    with pytest.raises(DataError, match=f"no {lost} or .* beside the weights; copy"):
        score(at(clip_scorers, "clip", tmp_path / "bare"))


def test_the_heads_pickle_is_refused_and_converted_by_the_command_that_the_error_names(clip_scorers, tmp_path):
    import torch
    from safetensors.torch import load_file

    tensors = load_file(clip_scorers / "head.safetensors")
    torch.save(tensors, tmp_path / "head.pth")
    with pytest.raises(DataError, match="python -m pipeline.backends.reward.convert .*head.pth .*head.safetensors"):
        make_reward(params_of(clip_scorers, "aesthetic", head=str(tmp_path / "head.pth")))
    done = CliRunner().invoke(convert, [str(tmp_path / "head.pth"), str(tmp_path / "head.safetensors")])
    assert done.exit_code == 0 and done.output.startswith("sha256 ")
    made = values(score(params_of(clip_scorers, "aesthetic", head=str(tmp_path / "head.safetensors"))))
    assert made == values(score(params_of(clip_scorers, "aesthetic")))


def test_a_pickle_that_could_run_code_is_not_converted(tmp_path):
    import torch

    torch.save(partial(print, "gotcha"), tmp_path / "module.pth")
    done = CliRunner().invoke(convert, [str(tmp_path / "module.pth"), str(tmp_path / "out.safetensors")])
    assert done.exit_code == 1 and "not a file of tensors alone" in done.output and "gotcha" not in done.output
    assert not (tmp_path / "out.safetensors").exists()


def test_a_head_of_another_model_is_refused(clip_scorers, tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1, 512), "bias": torch.zeros(1)}, tmp_path / "head.safetensors")
    with pytest.raises(DataError, match=r"\(1, 512\).*; a head of this CLIP model has .*\(1, 24\)"):
        score(params_of(clip_scorers, "aesthetic", head=str(tmp_path / "head.safetensors")))


def test_a_missing_head_is_told_before_any_work(clip_scorers, tmp_path):
    with pytest.raises(DataError, match="no such file; reward's head is a safetensors file"):
        make_reward(params_of(clip_scorers, "aesthetic", head=str(tmp_path / "none.safetensors")))


def open_clip(tensors):
    """Return transformers' CLIP tensors in open_clip's layout, and with what HPSv2's file has around them."""
    import torch

    tensors, made = dict(tensors), {}
    for ours, theirs in (("vision_model", "visual.transformer"), ("text_model", "transformer")):
        for at in range(2):
            place, block = f"{ours}.encoder.layers.{at}.", f"{theirs}.resblocks.{at}."
            for kind in ("weight", "bias"):
                parts = [tensors.pop(f"{place}self_attn.{part}_proj.{kind}") for part in "qkv"]
                made[f"{block}attn.in_proj_{kind}"] = torch.cat(parts)
                for name, other in (
                    ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj"),
                    ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
                ):  # fmt: skip
                    made[f"{block}{other}.{kind}"] = tensors.pop(f"{place}{name}.{kind}")
    made["visual.proj"] = tensors.pop("visual_projection.weight").T
    made["text_projection"] = tensors.pop("text_projection.weight").T
    names = {
        "logit_scale": "logit_scale",
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "vision_model.pre_layrnorm": "visual.ln_pre",
        "vision_model.post_layernorm": "visual.ln_post",
        "text_model.final_layer_norm": "ln_final",
    }
    for name in list(tensors):
        stem, _, kind = name.rpartition(".")
        made[names[name] if name in names else f"{names[stem]}.{kind}"] = tensors.pop(name)
    return {"epoch": 1, "state_dict": made}


def test_weights_in_open_clips_layout_are_converted_to_what_hpsv2_reads(clip_scorers, tmp_path):
    import torch
    from safetensors.torch import load_file

    shutil.copytree(clip_scorers / "clip", tmp_path / "hps")
    torch.save(open_clip(load_file(clip_scorers / "clip" / "model.safetensors")), tmp_path / "hps.pt")
    done = CliRunner().invoke(convert, [str(tmp_path / "hps.pt"), str(tmp_path / "hps" / "model.safetensors")])
    assert done.exit_code == 0, done.output
    converted = values(score(at(clip_scorers, "hpsv2", tmp_path / "hps")))
    assert converted == values(score(params_of(clip_scorers, "hpsv2")))


def test_a_scorer_is_made_without_loading_its_weights(clip_scorers, tmp_path):
    import torch

    copy = changed(clip_scorers, tmp_path, "clip", lambda tensors: tensors.clear() or tensors.update(x=torch.zeros(1)))
    backend = make_reward(at(clip_scorers, "clip", copy))
    assert list(backend.map([])) == []


HUB = """
import sys
from tests.support import tiny_clip_scorers as tiny
from pipeline.backends.reward import make_reward
from schemas.seams import ScoreRequest
backend = make_reward(tiny.params("clip", "someone/clip", revision="a" * 40))
said = list(backend.map([ScoreRequest(tiny.video(0), "a red ball")]))
print(backend.by.model, backend.by.revision, said[0].value.dims[0].value)
"""


def test_a_pinned_model_of_the_hub_is_read_from_its_cache_without_network(clip_scorers, tmp_path, root):
    snapshot = tmp_path / "models--someone--clip" / "snapshots" / ("a" * 40)
    shutil.copytree(clip_scorers / "clip", snapshot)
    paths = os.pathsep.join([str(root), str(root / "tests")])
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", HUB], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    value = values(score(params_of(clip_scorers, "clip"), CLIPS[:1]))[0]
    assert done.stdout.split() == ["someone/clip", "a" * 40, "spread-4", "float32", str(value)]
