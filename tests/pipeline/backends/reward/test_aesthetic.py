import numpy as np
import pytest

from pipeline.backends.reward import make_reward
from pipeline.runtime.io import DataError
from pipeline.video.clips import decode
from tests.support.clip_scores import CLIPS, params_of, score, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


def test_a_head_of_another_model_is_refused(clip_scorers, tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1, 512), "bias": torch.zeros(1)}, tmp_path / "head.safetensors")
    with pytest.raises(
        DataError, match=r"holds {'bias': \(1,\), 'weight': \(1, 512\)}; a head of this CLIP model has .*\(1, 24\)"
    ):
        score(params_of(clip_scorers, "aesthetic", head=str(tmp_path / "head.safetensors")))


def test_a_missing_head_is_told_before_any_work(clip_scorers, tmp_path):
    with pytest.raises(DataError, match="no such file; reward's head is a safetensors file"):
        make_reward(params_of(clip_scorers, "aesthetic", head=str(tmp_path / "none.safetensors")))


PICKED = [0, 2, 4, 6]


def pixels(folder, item, picked=PICKED):
    import torch
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil.from_pretrained(folder)
    return torch.stack([processor(decode(item.clip)[at], return_tensors="pt")["pixel_values"][0] for at in picked])


def aesthetic_by_hand(folder, item):
    import torch
    from safetensors.torch import load_file
    from transformers import CLIPModel

    model, head = CLIPModel.from_pretrained(folder / "clip").eval(), load_file(folder / "head.safetensors")
    found = []
    with torch.no_grad():
        for picture in pixels(folder / "clip", item):
            embedding = model.visual_projection(model.vision_model(picture[None]).pooler_output)[0]
            found.append((head["weight"][0] @ (embedding / embedding.square().sum().sqrt()) + head["bias"]).item())
    return np.mean(found)


def test_the_aesthetic_head_rates_embeddings_of_length_one(clip_scorers):
    expected = [aesthetic_by_hand(clip_scorers, item) for item in CLIPS]
    assert values(score(params_of(clip_scorers, "aesthetic"))) == pytest.approx(expected, abs=2e-5)


def test_a_head_that_says_the_same_of_everything_stops_the_stage(clip_scorers, tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1, 24), "bias": torch.tensor([5.0])}, tmp_path / "head.safetensors")
    with pytest.raises(DataError, match="aesthetic clip says the same of a good and of a spoilt clip: AES 5; it"):
        score(params_of(clip_scorers, "aesthetic", head=str(tmp_path / "head.safetensors")))


def test_frames_and_precision_are_part_of_the_revision_and_the_defaults_are_told(clip_scorers):
    def how(**values):
        return make_reward(params_of(clip_scorers, "aesthetic", **values)).by.revision.split()[-2:]

    assert how() == ["spread-4", "float32"]
    assert how(n_frames=2, dtype="bfloat16") == ["spread-2", "bfloat16"]
