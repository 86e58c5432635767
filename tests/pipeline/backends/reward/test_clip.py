import pytest

from pipeline.video.clips import decode
from tests.support import tiny_clip_scorers as tiny
from tests.support.clip_scores import CLIPS, params_of, score, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


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


def test_clip_is_a_hundred_times_the_mean_cosine_of_four_frames(clip_scorers):
    expected = [100 * cosine_by_hand(clip_scorers / "clip", item) for item in CLIPS]
    assert values(score(params_of(clip_scorers, "clip"))) == pytest.approx(expected, abs=2e-4)
