import os
import shutil
import subprocess
import sys

import pytest

from pipeline.backends.reward import make_reward
from pipeline.reward import make_scorer, reward
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store
from pipeline.video.clips import decode, make_clip
from schemas.base import Dropped
from schemas.reasons import Reason
from schemas.seams import ScoreRequest
from tests.support import tiny_clip_scorers as tiny
from tests.support.clip_scores import CLIPS, TEXT, at, changed, params_of, score, values
from tests.support.rows import render_row

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
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", HUB], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    value = values(score(params_of(clip_scorers, "clip"), CLIPS[:1]))[0]
    assert done.stdout.split() == ["someone/clip", "a" * 40, "spread-4", "float32", str(value)]


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


def test_the_revision_tells_weights_frames_and_precision(clip_scorers):
    def revision(**values):
        return make_reward(params_of(clip_scorers, "aesthetic", **values)).by.revision

    weights, head, frames, dtype = revision().split()
    assert len(weights) == 16 and (frames, dtype) == ("spread-4", "float32")
    assert revision(n_frames=2).split() == [weights, head, "spread-2", "float32"]
    assert revision(dtype="bfloat16").split()[3] == "bfloat16"
    assert make_reward(params_of(clip_scorers, "aesthetic")).by.model == "clip"


@pytest.mark.parametrize("backend", ["clip", "hpsv2", "aesthetic", "mps"])
def test_the_stage_scores_a_clip_and_keeps_the_score(clip_scorers, tmp_path, backend):
    frames = decode(tiny.video(7))
    clip = make_clip(frames, 8)
    row = render_row("v0", prompt=TEXT).model_copy(update={"frames_hash": clip.frames_hash})
    scorer = make_scorer("tiny", params_of(clip_scorers, backend))
    store = Store(tmp_path / "store")
    made = list(reward([row], lambda row: clip.content, [scorer], store))
    assert not isinstance(made[0], Dropped) and made[0].scored_by.revision == scorer.by.revision
    assert [item.name for item in made[0].dims] == [
        {"clip": "CLIP", "hpsv2": "HPS", "aesthetic": "AES", "mps": "MPS"}[backend]
    ]

    def unread(row):
        raise AssertionError("read a clip whose score is known")

    assert list(reward([row], unread, [scorer], store)) == made


def test_of_many_weights_the_first_three_by_name_are_named_and_the_others_counted(clip_scorers, tmp_path):
    import torch

    names = [f"{letter}.weight" for letter in "dbaec"]
    copy = changed(clip_scorers, tmp_path, "clip", lambda tensors: tensors.update({n: torch.zeros(2) for n in names}))
    with pytest.raises(DataError, match="has beyond them a.weight, b.weight, c.weight and 2 more$"):
        score(at(clip_scorers, "clip", copy))
