import shutil
from functools import partial

import pytest
from click.testing import CliRunner

from pipeline.backends.reward import make_reward
from pipeline.backends.reward.convert import from_open_clip
from pipeline.backends.reward.convert import main as convert
from pipeline.runtime.io import DataError
from tests.support.clip_scores import params_of, score, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


def at(folder, backend, model):
    return params_of(folder, backend).model_copy(update={"model": str(model)})


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


@pytest.mark.parametrize("name", ["visual.transformer.resblocks.0.attn.other.weight", "visual.other", "logit_bias"])
def test_a_tensor_that_open_clip_does_not_have_is_refused_by_its_name(name):
    with pytest.raises(DataError, match=f"{name}: no tensor of an open_clip CLIP"):
        from_open_clip({name: None})
