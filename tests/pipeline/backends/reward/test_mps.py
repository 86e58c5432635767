import numpy as np
import pytest

from pipeline.backends.reward.mps import CONDITION
from tests.support import tiny_clip_scorers as tiny
from tests.support.clip_scores import CLIPS, at, changed, ids, params_of, pixels, score, values

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


def test_mps_weights_of_the_mirror_are_read_by_their_names(clip_scorers, tmp_path):
    def mirror(tensors):
        for name in list(tensors):
            tensors[f"mps.{name}"] = tensors.pop(name)

    copy = changed(clip_scorers, tmp_path, "mps", mirror)
    assert values(score(at(clip_scorers, "mps", copy))) == values(score(params_of(clip_scorers, "mps")))


def mps_by_hand(folder, item):
    """MPS frame by frame, head by head, token by token."""
    import torch
    from safetensors.torch import load_file
    from transformers import CLIPModel

    weights = load_file(folder / "model.safetensors")
    model = CLIPModel(tiny.clip_config()).eval()
    own = {name.removeprefix("model."): value for name, value in weights.items() if name.startswith("model.")}
    model.load_state_dict(own, strict=False)

    def norm(rows, name):
        rows = (rows - rows.mean(-1, keepdim=True)) / (rows.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return rows * weights[name + ".weight"] + weights[name + ".bias"]

    def gated(rows):
        half = rows.shape[-1] // 2
        return rows[:, :half] * rows[:, half:] * torch.sigmoid(rows[:, half:])

    def heads_of(queries, keys, rows, allowed=None):
        out = []
        for at in range(16):
            likeness = queries[:, 64 * at : 64 * at + 64] / 8 @ keys.T
            if allowed is not None:
                likeness = likeness.masked_fill(~allowed, float("-inf"))
            out.append(likeness.softmax(-1) @ rows)
        return torch.cat(out, -1)

    def turned(rows):
        heads = rows.unflatten(1, (-1, 64))
        pairs = torch.complex(heads[..., :32], heads[..., 32:])
        angles = torch.arange(len(rows))[:, None, None] / 10000 ** (torch.arange(32) / 32)
        pairs = pairs * torch.polar(torch.ones_like(angles), angles)
        return torch.cat((pairs.real, pairs.imag), -1).flatten(1)

    def tokens(text):
        told = model.text_model(ids(folder, text, padding="max_length"))
        return told.last_hidden_state[0] @ own["text_projection.weight"].T, model.text_projection(told.pooler_output)[0]

    found = []
    with torch.no_grad():
        (words, whole), (attributes, _) = tokens(item.text), tokens(CONDITION)
        likest = torch.tensor([max(word @ attribute for attribute in attributes) for word in words])
        allowed = likest / likest.max() > 0.3
        for picture in pixels(folder, item):
            rows = model.vision_model(picture[None]).last_hidden_state[0] @ own["visual_projection.weight"].T
            for at in range(4):
                name = f"cross_model.layers.{at}.0.fn."
                normed = norm(rows, name + "norm")
                keys, read = (words @ weights[name + "to_kv.weight"].T).split(64, dim=-1)
                seen = heads_of(normed @ weights[name + "to_q.weight"].T, keys, read, allowed)
                wide = gated(normed @ weights[name + "ff.0.weight"].T) @ weights[name + "ff.2.weight"].T
                rows = rows + seen @ weights[name + "to_out.weight"].T + wide
                name = f"cross_model.layers.{at}.1.fn."
                parts = norm(rows, name + "norm") @ weights[name + "fused_attn_ff_proj.weight"].T
                queries, keys, read, wide = parts.split((1024, 64, 64, 192), dim=-1)
                seen = heads_of(turned(queries), turned(keys), read) @ weights[name + "attn_out.weight"].T
                rows = rows + seen + gated(wide) @ weights[name + "ff_out.1.weight"].T
            cosine = rows[0] @ whole / rows[0].norm() / whole.norm()
            found.append((own["logit_scale"].exp() * cosine).item())
    assert not allowed.all(), "the rule must matter here"
    return np.mean(found)


def test_mps_attends_to_what_has_to_do_with_the_attributes(clip_scorers):
    expected = [mps_by_hand(clip_scorers / "mps", item) for item in CLIPS]
    assert values(score(params_of(clip_scorers, "mps"))) == pytest.approx(expected, abs=5e-4)
