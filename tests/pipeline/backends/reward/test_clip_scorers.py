"""Aesthetics, CLIP, MPS and HPSv2 on tiny models; each value against the same formula by hand."""

import numpy as np
import pytest

from pipeline.backends.reward import make_reward
from pipeline.backends.reward.mps import CONDITION
from pipeline.reward import make_scorer, reward
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store
from pipeline.scoring.clip_scores import count_cut_texts
from pipeline.video.clips import decode, make_clip
from schemas.base import Dropped
from schemas.reasons import Reason
from schemas.seams import ScoreRequest
from tests.support import tiny_clip_scorers as tiny
from tests.support.clip_scores import CLIPS, TEXT, params_of, score, values
from tests.support.rows import render_row

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


def test_clip_is_a_hundred_times_the_mean_cosine_of_four_frames(clip_scorers):
    expected = [100 * cosine_by_hand(clip_scorers / "clip", item) for item in CLIPS]
    assert values(score(params_of(clip_scorers, "clip"))) == pytest.approx(expected, abs=2e-4)


def test_hps_is_the_cosine_as_it_is(clip_scorers):
    outcomes = score(params_of(clip_scorers, "hpsv2"))
    assert [outcome.value.dims[0].name for outcome in outcomes] == ["HPS", "HPS"]
    assert values(outcomes) == pytest.approx([cosine_by_hand(clip_scorers / "clip", item) for item in CLIPS], abs=1e-5)


def test_the_aesthetic_head_rates_embeddings_of_length_one(clip_scorers):
    expected = [aesthetic_by_hand(clip_scorers, item) for item in CLIPS]
    assert values(score(params_of(clip_scorers, "aesthetic"))) == pytest.approx(expected, abs=2e-5)


def test_mps_attends_to_what_has_to_do_with_the_attributes(clip_scorers):
    expected = [mps_by_hand(clip_scorers / "mps", item) for item in CLIPS]
    assert values(score(params_of(clip_scorers, "mps"))) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("backend", ["clip", "hpsv2", "aesthetic", "mps"])
def test_clips_rated_together_have_the_values_of_each_alone(clip_scorers, backend):
    items = [ScoreRequest(tiny.video(seed, n), text) for seed, n, text in ((2, 3, "x"), (3, 9, TEXT), (4, 1, "a b c"))]
    params = params_of(clip_scorers, backend)
    alone = [values(score(params, [item]))[0] for item in items]
    assert values(score(params, items)) == pytest.approx(alone, abs=3e-5)
    assert len(set(alone)) == 3


@pytest.mark.parametrize("backend", ["clip", "hpsv2", "aesthetic", "mps"])
def test_a_broken_clip_keeps_its_place_among_the_others(clip_scorers, backend):
    outcomes = score(
        params_of(clip_scorers, backend, batch_size=2), [CLIPS[0], ScoreRequest(b"no video", TEXT), CLIPS[1]]
    )
    assert [outcome.reason for outcome in outcomes] == [None, Reason.BAD_CLIP, None]
    assert all(outcome.by is not None for outcome in outcomes[::2])


def test_the_end_of_a_text_beyond_the_window_is_not_read(clip_scorers):
    window = "a b c d e f g h i j k l m n"  # 14 tokens and the two ends
    items = [ScoreRequest(CLIPS[0].clip, text) for text in (window, window + " o p", window[:-1] + "o")]
    whole, longer, other = values(score(params_of(clip_scorers, "clip"), items))
    assert longer == whole != other


def test_a_special_token_in_a_users_text_ends_nothing(clip_scorers):
    texts = ("a dog", "a dog <|endoftext|> a cat")
    plain, tricked = values(
        score(params_of(clip_scorers, "clip"), [ScoreRequest(CLIPS[0].clip, text) for text in texts])
    )
    assert plain != tricked


def test_the_revision_tells_weights_frames_and_precision(clip_scorers):
    def revision(**values):
        return make_reward(params_of(clip_scorers, "aesthetic", **values), None).by.revision

    weights, head, frames, dtype = revision().split()
    assert len(weights) == 16 and (frames, dtype) == ("spread-4", "float32")
    assert revision(n_frames=2).split() == [weights, head, "spread-2", "float32"]
    assert revision(dtype="bfloat16").split()[3] == "bfloat16"
    assert make_reward(params_of(clip_scorers, "aesthetic"), None).by.model == "clip"


@pytest.mark.parametrize("backend", ["clip", "hpsv2", "aesthetic", "mps"])
def test_the_stage_scores_a_clip_and_keeps_the_score(clip_scorers, tmp_path, backend):
    frames = decode(tiny.video(7))
    clip = make_clip(frames, 8)
    row = render_row("v0", prompt=TEXT).model_copy(update={"frames_hash": clip.frames_hash})
    scorer = make_scorer("tiny", params_of(clip_scorers, backend), None)
    store = Store(tmp_path / "store")
    made = list(reward([row], lambda row: clip.content, [scorer], store))
    assert not isinstance(made[0], Dropped) and made[0].scored_by.revision == scorer.by.revision
    assert [item.name for item in made[0].dims] == [
        {"clip": "CLIP", "hpsv2": "HPS", "aesthetic": "AES", "mps": "MPS"}[backend]
    ]

    def unread(row):
        raise AssertionError("read a clip whose score is known")

    assert list(reward([row], unread, [scorer], store)) == made


@pytest.mark.parametrize(("backend", "told"), [("clip", True), ("hpsv2", True), ("mps", True), ("aesthetic", None)])
def test_a_text_beyond_the_window_is_told(clip_scorers, backend, told):
    # a letter is a token, and two begin and end the text
    texts = ["a" * (tiny.WINDOW - 2), "a" * (tiny.WINDOW - 1)]
    whole, cut = score(params_of(clip_scorers, backend), [ScoreRequest(CLIPS[0].clip, text) for text in texts])
    assert (whole.value.truncated, cut.value.truncated) == (told and False, told)


def test_the_metrics_count_the_texts_that_each_model_cut_also_where_nothing_is_scored_anew(clip_scorers, tmp_path):
    frames = decode(tiny.video(7))
    clip = make_clip(frames, 8)
    texts = ["a" * 30, "a dog", "a" * 31]
    rows = [
        render_row(f"v{at}", query=text).model_copy(update={"frames_hash": clip.frames_hash})
        for at, text in enumerate(texts)
    ]
    store = Store(tmp_path / "store")
    scorers = [make_scorer(name, params_of(clip_scorers, name), None) for name in ("clip", "aesthetic")]
    for _ in range(2):
        list(reward(rows, lambda row: clip.content, scorers, store))
        assert count_cut_texts(rows, scorers, store) == {"text_truncated": {"clip": 2}}
    assert count_cut_texts(rows[1:2], scorers, store) == {"text_truncated": {"clip": 0}}
    assert count_cut_texts(rows, scorers[1:], store) == {}


def test_a_head_that_says_the_same_of_everything_stops_the_stage(clip_scorers, tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1, 24), "bias": torch.tensor([5.0])}, tmp_path / "head.safetensors")
    with pytest.raises(DataError, match="aesthetic clip says the same of a good and of a spoilt clip: AES 5; it"):
        score(params_of(clip_scorers, "aesthetic", head=str(tmp_path / "head.safetensors")))
