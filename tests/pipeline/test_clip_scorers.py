"""Aesthetics, CLIP, MPS and HPSv2 on tiny models; each value against the same formula by hand."""

import os
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tiny_clip_scorers as tiny
import torch
from click.testing import CliRunner
from rows import render_row
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from pipeline.backends.reward import ScoreRequest, make_reward
from pipeline.backends.reward.convert import main as convert
from pipeline.backends.reward.mps import CONDITION
from pipeline.clips import decode, make_clip
from pipeline.io import DataError
from pipeline.reward import make_scorer, reward, texts_cut
from pipeline.store import Store
from schemas.base import Dropped
from schemas.reasons import Reason

pytestmark = pytest.mark.slow

TEXT = "a red ball"
CLIPS = [ScoreRequest(tiny.video(0), TEXT), ScoreRequest(tiny.video(1), "a cat that sleeps all day long in the sun")]
# 9 frames: arange(0, 9, 9 / 4)
PICKED = [0, 2, 4, 6]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny CLIP, an aesthetic head and a tiny MPS; for reading alone."""
    path = tmp_path_factory.mktemp("clip_scorers")
    tiny.save_clip(path / "clip")
    tiny.save_head(path / "head.safetensors")
    tiny.save_mps(path / "mps")
    return path


@pytest.fixture(autouse=True)
def home(vpo_home):
    """Batch sizes are kept there."""


def params_of(folder, backend, **values):
    if backend == "aesthetic":
        values.setdefault("head", str(folder / "head.safetensors"))
    return tiny.params(backend, folder / ("mps" if backend == "mps" else "clip"), **values)


def score(params, items=CLIPS):
    return list(make_reward(params, None).map(items))


def values(outcomes):
    return [outcome.value.dims[0].value for outcome in outcomes]


def pixels(folder, item, picked=PICKED):
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    return torch.stack([processor(decode(item.clip)[at], return_tensors="pt")["pixel_values"][0] for at in picked])


def ids(folder, text, **padding):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer(text, truncation=True, max_length=tiny.WINDOW, return_tensors="pt", **padding)["input_ids"]


def cosine_by_hand(folder, item):
    model = CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        told = model(input_ids=ids(folder, item.text), pixel_values=pixels(folder, item))
    return (told.logits_per_image / model.logit_scale.exp()).mean().item()


def aesthetic_by_hand(folder, item):
    model, head = CLIPModel.from_pretrained(folder / "clip").eval(), load_file(folder / "head.safetensors")
    found = []
    with torch.no_grad():
        for picture in pixels(folder / "clip", item):
            embedding = model.visual_projection(model.vision_model(picture[None]).pooler_output)[0]
            found.append((head["weight"][0] @ (embedding / embedding.square().sum().sqrt()) + head["bias"]).item())
    return np.mean(found)


def mps_by_hand(folder, item):
    """MPS frame by frame, head by head, token by token."""
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


def test_clip_is_a_hundred_times_the_mean_cosine_of_four_frames(folder):
    expected = [100 * cosine_by_hand(folder / "clip", item) for item in CLIPS]
    assert values(score(params_of(folder, "clip"))) == pytest.approx(expected, abs=2e-4)


def test_hps_is_the_cosine_as_it_is(folder):
    outcomes = score(params_of(folder, "hpsv2"))
    assert [outcome.value.dims[0].name for outcome in outcomes] == ["HPS", "HPS"]
    assert values(outcomes) == pytest.approx([cosine_by_hand(folder / "clip", item) for item in CLIPS], abs=1e-5)


def test_the_aesthetic_head_rates_embeddings_of_length_one(folder):
    expected = [aesthetic_by_hand(folder, item) for item in CLIPS]
    assert values(score(params_of(folder, "aesthetic"))) == pytest.approx(expected, abs=2e-5)


def test_mps_attends_to_what_has_to_do_with_the_attributes(folder):
    expected = [mps_by_hand(folder / "mps", item) for item in CLIPS]
    assert values(score(params_of(folder, "mps"))) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("backend", ["clip", "hpsv2", "aesthetic", "mps"])
def test_clips_rated_together_have_the_values_of_each_alone(folder, backend):
    items = [ScoreRequest(tiny.video(seed, n), text) for seed, n, text in ((2, 3, "x"), (3, 9, TEXT), (4, 1, "a b c"))]
    params = params_of(folder, backend)
    alone = [values(score(params, [item]))[0] for item in items]
    assert values(score(params, items)) == pytest.approx(alone, abs=3e-5)
    assert len(set(alone)) == 3


@pytest.mark.parametrize("backend", ["clip", "hpsv2", "aesthetic", "mps"])
def test_a_broken_clip_keeps_its_place_among_the_others(folder, backend):
    outcomes = score(params_of(folder, backend, batch_size=2), [CLIPS[0], ScoreRequest(b"no video", TEXT), CLIPS[1]])
    assert [outcome.reason for outcome in outcomes] == [None, Reason.BAD_CLIP, None]
    assert all(outcome.by is not None for outcome in outcomes[::2])


@pytest.mark.parametrize("backend", ["clip", "aesthetic", "mps"])
def test_weights_that_are_no_numbers_stop_the_stage(folder, tmp_path, backend):
    broken = tmp_path / "broken"
    shutil.copytree(folder / ("mps" if backend == "mps" else "clip"), broken)
    tensors = load_file(broken / "model.safetensors")
    name = next(name for name in tensors if name.endswith("visual_projection.weight"))
    save_file(tensors | {name: tensors[name] * float("nan")}, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="neither a good nor a spoilt clip .* is nan"):
        score(at(folder, backend, broken), CLIPS[:1])


def at(folder, backend, model):
    return params_of(folder, backend).model_copy(update={"model": str(model)})


def changed(folder, tmp_path, kind, change):
    """Return a copy of a model folder whose tensors `change` was applied to."""
    copy = tmp_path / "changed"
    shutil.copytree(folder / kind, copy)
    tensors = load_file(copy / "model.safetensors")
    change(tensors)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@pytest.mark.parametrize("backend", ["clip", "mps"])
def test_a_lacking_weight_is_named_and_never_made_up(folder, tmp_path, backend):
    def lose(tensors):
        del tensors[next(name for name in sorted(tensors) if "to_kv" in name or name == "visual_projection.weight")]

    copy = changed(folder, tmp_path, backend, lose)
    named = "visual_projection.weight" if backend == "clip" else "cross_model.layers.0.0.fn.to_kv.weight"
    with pytest.raises(DataError, match=f"not the weights of .*: lacks {named}"):
        score(at(folder, backend, copy))


@pytest.mark.parametrize("backend", ["clip", "mps"])
def test_a_weight_that_the_model_does_not_have_is_named(folder, tmp_path, backend):
    copy = changed(folder, tmp_path, backend, lambda tensors: tensors.update({"another.weight": torch.zeros(2)}))
    with pytest.raises(DataError, match="has beyond them another.weight"):
        score(at(folder, backend, copy))


def test_a_weight_of_another_shape_is_refused(folder, tmp_path):
    copy = changed(
        folder, tmp_path, "clip", lambda tensors: tensors.update({"visual_projection.weight": torch.zeros(3, 3)})
    )
    with pytest.raises(DataError, match="cannot be loaded as CLIPModel"):
        score(at(folder, "clip", copy))


def test_mps_weights_of_the_mirror_are_read_by_their_names(folder, tmp_path):
    def mirror(tensors):
        for name in list(tensors):
            tensors[f"mps.{name}"] = tensors.pop(name)

    copy = changed(folder, tmp_path, "mps", mirror)
    assert values(score(at(folder, "mps", copy))) == values(score(params_of(folder, "mps")))


@pytest.mark.parametrize("backend", ["clip", "mps"])
def test_weights_that_are_pickles_are_refused(folder, tmp_path, backend):
    (tmp_path / "config.json").write_text("{}")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="pytorch_model.bin is a pickle"):
        make_reward(at(folder, backend, tmp_path), None)


def test_a_hub_model_without_its_commit_is_refused():
    with pytest.raises(DataError, match="set revision to the model's 40-hex commit"):
        make_reward(tiny.params("clip", "openai/clip-vit-large-patch14"), None)


@pytest.mark.parametrize("lost", ["preprocessor_config.json", "tokenizer.json"])
def test_a_folder_without_its_processor_says_which_file_to_copy(folder, tmp_path, lost):
    shutil.copytree(folder / "clip", tmp_path / "bare")
    (tmp_path / "bare" / lost).unlink()
    with pytest.raises(DataError, match=f"no {lost} or .* beside the weights; copy"):
        score(at(folder, "clip", tmp_path / "bare"))


def test_the_heads_pickle_is_refused_and_converted_by_the_command_that_the_error_names(folder, tmp_path):
    tensors = load_file(folder / "head.safetensors")
    torch.save(tensors, tmp_path / "head.pth")
    with pytest.raises(DataError, match="python -m pipeline.backends.reward.convert .*head.pth .*head.safetensors"):
        make_reward(params_of(folder, "aesthetic", head=str(tmp_path / "head.pth")), None)
    done = CliRunner().invoke(convert, [str(tmp_path / "head.pth"), str(tmp_path / "head.safetensors")])
    assert done.exit_code == 0 and done.output.startswith("sha256 ")
    made = values(score(params_of(folder, "aesthetic", head=str(tmp_path / "head.safetensors"))))
    assert made == values(score(params_of(folder, "aesthetic")))


def test_a_pickle_that_could_run_code_is_not_converted(tmp_path):
    torch.save(partial(print, "gotcha"), tmp_path / "module.pth")
    done = CliRunner().invoke(convert, [str(tmp_path / "module.pth"), str(tmp_path / "out.safetensors")])
    assert done.exit_code == 1 and "not a file of tensors alone" in done.output and "gotcha" not in done.output
    assert not (tmp_path / "out.safetensors").exists()


def test_a_head_of_another_model_is_refused(folder, tmp_path):
    save_file({"weight": torch.zeros(1, 512), "bias": torch.zeros(1)}, tmp_path / "head.safetensors")
    with pytest.raises(DataError, match=r"\(1, 512\).*; a head of this CLIP model has .*\(1, 24\)"):
        score(params_of(folder, "aesthetic", head=str(tmp_path / "head.safetensors")))


def test_a_missing_head_is_told_before_any_work(folder, tmp_path):
    with pytest.raises(DataError, match="no such file; reward's head is a safetensors file"):
        make_reward(params_of(folder, "aesthetic", head=str(tmp_path / "none.safetensors")), None)


def open_clip(tensors):
    """Return transformers' CLIP tensors in open_clip's layout, and with what HPSv2's file has around them."""
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


def test_weights_in_open_clips_layout_are_converted_to_what_hpsv2_reads(folder, tmp_path):
    shutil.copytree(folder / "clip", tmp_path / "hps")
    torch.save(open_clip(load_file(folder / "clip" / "model.safetensors")), tmp_path / "hps.pt")
    done = CliRunner().invoke(convert, [str(tmp_path / "hps.pt"), str(tmp_path / "hps" / "model.safetensors")])
    assert done.exit_code == 0, done.output
    converted = values(score(at(folder, "hpsv2", tmp_path / "hps")))
    assert converted == values(score(params_of(folder, "hpsv2")))


def test_the_end_of_a_text_beyond_the_window_is_not_read(folder):
    window = "a b c d e f g h i j k l m n"  # 14 tokens and the two ends
    items = [ScoreRequest(CLIPS[0].clip, text) for text in (window, window + " o p", window[:-1] + "o")]
    whole, longer, other = values(score(params_of(folder, "clip"), items))
    assert longer == whole != other


def test_a_special_token_in_a_users_text_ends_nothing(folder):
    texts = ("a dog", "a dog <|endoftext|> a cat")
    plain, tricked = values(score(params_of(folder, "clip"), [ScoreRequest(CLIPS[0].clip, text) for text in texts]))
    assert plain != tricked


def test_the_revision_tells_weights_frames_and_precision(folder):
    def revision(**values):
        return make_reward(params_of(folder, "aesthetic", **values), None).by.revision

    weights, head, frames, dtype = revision().split()
    assert len(weights) == 16 and (frames, dtype) == ("spread-4", "float32")
    assert revision(n_frames=2).split() == [weights, head, "spread-2", "float32"]
    assert revision(dtype="bfloat16").split()[3] == "bfloat16"
    assert make_reward(params_of(folder, "aesthetic"), None).by.model == "clip"


def test_a_scorer_is_made_without_loading_its_weights(folder, tmp_path):
    copy = changed(folder, tmp_path, "clip", lambda tensors: tensors.clear() or tensors.update(x=torch.zeros(1)))
    backend = make_reward(at(folder, "clip", copy), None)
    assert list(backend.map([])) == []


@pytest.mark.parametrize("backend", ["clip", "hpsv2", "aesthetic", "mps"])
def test_the_stage_scores_a_clip_and_keeps_the_score(folder, tmp_path, backend):
    frames = decode(tiny.video(7))
    clip = make_clip(frames, 8)
    row = render_row("v0", prompt=TEXT).model_copy(update={"frames_hash": clip.frames_hash})
    scorer = make_scorer("tiny", params_of(folder, backend), None)
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
def test_a_text_beyond_the_window_is_told(folder, backend, told):
    # a letter is a token, and two begin and end the text
    texts = ["a" * (tiny.WINDOW - 2), "a" * (tiny.WINDOW - 1)]
    whole, cut = score(params_of(folder, backend), [ScoreRequest(CLIPS[0].clip, text) for text in texts])
    assert (whole.value.truncated, cut.value.truncated) == (told and False, told)


def test_the_metrics_count_the_texts_that_each_model_cut_also_where_nothing_is_scored_anew(folder, tmp_path):
    frames = decode(tiny.video(7))
    clip = make_clip(frames, 8)
    texts = ["a" * 30, "a dog", "a" * 31]
    rows = [
        render_row(f"v{at}", query=text).model_copy(update={"frames_hash": clip.frames_hash})
        for at, text in enumerate(texts)
    ]
    store = Store(tmp_path / "store")
    scorers = [make_scorer(name, params_of(folder, name), None) for name in ("clip", "aesthetic")]
    for _ in range(2):
        list(reward(rows, lambda row: clip.content, scorers, store))
        assert texts_cut(rows, scorers, store) == {"text_truncated": {"clip": 2}}
    assert texts_cut(rows[1:2], scorers, store) == {"text_truncated": {"clip": 0}}
    assert texts_cut(rows, scorers[1:], store) == {}


def test_a_head_that_says_the_same_of_everything_stops_the_stage(folder, tmp_path):
    save_file({"weight": torch.zeros(1, 24), "bias": torch.tensor([5.0])}, tmp_path / "head.safetensors")
    with pytest.raises(DataError, match="aesthetic clip says the same of a good and of a spoilt clip: AES 5; it"):
        score(params_of(folder, "aesthetic", head=str(tmp_path / "head.safetensors")))


HUB = """
import sys
import tiny_clip_scorers as tiny
from pipeline.backends.reward import ScoreRequest, make_reward
backend = make_reward(tiny.params("clip", "someone/clip", revision="a" * 40), None)
said = list(backend.map([ScoreRequest(tiny.video(0), "a red ball")]))
print(backend.by.model, backend.by.revision, said[0].value.dims[0].value)
"""


@pytest.mark.slow
def test_a_pinned_model_of_the_hub_is_read_from_its_cache_without_network(folder, tmp_path, root):
    snapshot = tmp_path / "models--someone--clip" / "snapshots" / ("a" * 40)
    shutil.copytree(folder / "clip", snapshot)
    paths = os.pathsep.join([str(root), str(root / "tests")])
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", HUB], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    value = values(score(params_of(folder, "clip"), CLIPS[:1]))[0]
    assert done.stdout.split() == ["someone/clip", "a" * 40, "spread-4", "float32", str(value)]
