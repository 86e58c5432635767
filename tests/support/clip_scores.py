"""Asks the tiny reward models of the CLIP family; `folder` is that of fixture `clip_scorers`."""

import shutil

from pipeline.backends.reward import make_reward
from pipeline.video.clips import decode
from schemas.seams import ScoreRequest
from tests.support import tiny_clip_scorers as tiny

TEXT = "a red ball"
CLIPS = [ScoreRequest(tiny.video(0), TEXT), ScoreRequest(tiny.video(1), "a cat that sleeps all day long in the sun")]


def params_of(folder, backend, **values):
    if backend == "aesthetic":
        values.setdefault("head", str(folder / "head.safetensors"))
    return tiny.params(backend, folder / ("mps" if backend == "mps" else "clip"), **values)


def score(params, items=CLIPS):
    return list(make_reward(params).map(items))


def values(outcomes):
    return [outcome.value.dims[0].value for outcome in outcomes]


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


PICKED = [0, 2, 4, 6]


def pixels(folder, item, picked=PICKED):
    import torch
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil.from_pretrained(folder)
    return torch.stack([processor(decode(item.clip)[at], return_tensors="pt")["pixel_values"][0] for at in picked])


def ids(folder, text, **padding):
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer(text, truncation=True, max_length=tiny.WINDOW, return_tensors="pt", **padding)["input_ids"]


def cosine_by_hand(folder, item):
    import torch
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        told = model(input_ids=ids(folder, item.text), pixel_values=pixels(folder, item))
    return (told.logits_per_image / model.logit_scale.exp()).mean().item()
