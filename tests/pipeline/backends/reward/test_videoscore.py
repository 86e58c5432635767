"""VideoScore on a tiny Idefics2 with a head, in the layout of the real weights."""

import json
import shutil

import pytest
from PIL import Image

from pipeline.backends.reward import make_reward
from pipeline.backends.reward.videoscore import TEMPLATE, videoscore
from pipeline.llm.template import Template
from pipeline.reward import make_scorer, reward
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store
from pipeline.video.clips import decode, make_clip
from schemas.base import Dropped
from schemas.reasons import Reason
from schemas.seams import ScoreRequest
from tests.support import tiny_clip_scorers as tiny
from tests.support.rows import render_row

pytestmark = pytest.mark.slow

NAMES = ["VQ", "TC", "DD", "TVA", "FC"]
CLIPS = [ScoreRequest(tiny.video(0, 20), "a red ball"), ScoreRequest(tiny.video(1, 3), "a cat that sleeps all day")]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """(folder, Idefics2Model, head) of a tiny VideoScore; for reading alone."""
    folder = tmp_path_factory.mktemp("videoscore") / "tiny"
    return folder, *tiny.save_videoscore(folder)


@pytest.fixture(autouse=True)
def home(vpo_home):
    """Batch sizes are kept there."""


def score(folder, items=CLIPS, **values):
    return list(make_reward(tiny.params("videoscore", folder, **values)).map(items))


def numbers(outcome):
    return [item.value for item in outcome.value.dims]


def by_hand(made, item, picked):
    """The head on the last token, the input put together token by token."""
    import torch
    from transformers import AutoTokenizer, Idefics2ImageProcessorPil

    folder, model, head = made
    tokens = AutoTokenizer.from_pretrained(folder)
    fake, image = (tokens.convert_tokens_to_ids(name) for name in ("<fake_token_around_image>", "<image>"))
    words = Template(TEMPLATE).fill(text=item.text) + " "
    space = tokens(" ")["input_ids"]
    ids = tokens(words)["input_ids"]
    for _ in picked:
        ids = [*ids, fake, *[image] * 3, fake, *space]
    frames = [Image.fromarray(decode(item.clip)[at]) for at in picked]
    pictures = Idefics2ImageProcessorPil.from_pretrained(folder)([frames], return_tensors="pt")
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([ids]), **pictures).last_hidden_state
        return head(hidden[0, -1]).tolist()


def test_five_regressions_are_read_at_the_last_token(made):
    first = [int(at * 20 / 16) for at in range(16)]
    expected = [by_hand(made, CLIPS[0], first), by_hand(made, CLIPS[1], [0, 1, 2])]
    outcomes = score(made[0])
    assert [[item.name for item in outcome.value.dims] for outcome in outcomes] == [NAMES, NAMES]
    for outcome, hand in zip(outcomes, expected, strict=True):
        assert numbers(outcome) == pytest.approx(hand, abs=3e-5)


def test_clips_rated_together_have_the_values_of_each_alone(made):
    items = [*CLIPS, ScoreRequest(tiny.video(2, 5, 64, 32), "dog")]
    alone = [numbers(score(made[0], [item])[0]) for item in items]
    for outcome, single in zip(score(made[0], items), alone, strict=True):
        assert numbers(outcome) == pytest.approx(single, abs=3e-5)


def test_a_broken_clip_keeps_its_place_among_the_others(made):
    outcomes = score(made[0], [ScoreRequest(b"no video", "x"), *CLIPS])
    assert [outcome.reason for outcome in outcomes] == [Reason.BAD_CLIP, None, None]


def test_a_text_with_a_picture_token_brings_no_picture(made):
    outcome = score(made[0], [ScoreRequest(CLIPS[0].clip, "a <image> ball <fake_token_around_image>")])[0]
    assert outcome.reason is None and numbers(outcome) != numbers(score(made[0], CLIPS[:1])[0])


def test_the_number_of_frames_can_be_set(made):
    assert numbers(score(made[0], CLIPS[:1], n_frames=2)[0]) == pytest.approx(
        by_hand(made, CLIPS[0], [0, 10]), abs=3e-5
    )


def test_the_revision_tells_weights_words_frames_and_precision(made, tmp_path):
    by = make_reward(tiny.params("videoscore", made[0])).by
    weights, words, frames, dtype = by.revision.split()
    assert len(weights) == 16 and (frames, dtype) == ("spread-16", "float32")
    assert words == f"words-{by.template}" and by.template == Template(TEMPLATE).hash
    other = tmp_path / "theirs.jinja"
    other.write_text("Rate the video of {{ text }}:")
    assert videoscore(tiny.params("videoscore", made[0]), other).by.revision.split()[1] != words


def test_the_authors_precision_is_taken_where_none_is_named(made):
    assert make_reward(tiny.params("videoscore", made[0], dtype=None)).by.revision.endswith(" bfloat16")


def changed(made, tmp_path, change):
    """Return a copy of the model's folder whose first shard `change` was applied to."""
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "changed"
    shutil.copytree(made[0], copy)
    shard = "model-00001-of-00002.safetensors"
    tensors = load_file(copy / shard)
    change(tensors)
    save_file(tensors, copy / shard, metadata={"format": "pt"})
    index = json.loads((copy / "model.safetensors.index.json").read_text())
    other = {name: file for name, file in index["weight_map"].items() if file != shard}
    index["weight_map"] = other | dict.fromkeys(tensors, shard)
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    return copy


def test_a_lacking_weight_is_named_and_never_made_up(made, tmp_path):
    from safetensors.torch import load_file

    first = sorted(load_file(made[0] / "model-00001-of-00002.safetensors"))[:5]

    def lose(tensors):
        for name in first:
            del tensors[name]

    with pytest.raises(DataError, match=f"not the weights of VideoScore: lacks {first[0]}, .* and 2 more"):
        score(changed(made, tmp_path, lose))


def test_a_weight_that_the_model_does_not_have_is_named(made, tmp_path):
    import torch

    copy = changed(made, tmp_path, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(2)}))
    with pytest.raises(DataError, match="has beyond them lm_head.weight"):
        score(copy)


def test_weights_that_are_no_numbers_stop_the_stage(made, tmp_path):
    import torch

    def spoil(tensors):
        tensors["score.bias"] = torch.full((5,), float("nan"))

    with pytest.raises(DataError, match=", ".join(f"{name} is nan" for name in NAMES)):
        score(changed(made, tmp_path, spoil), CLIPS[:1])


@pytest.mark.parametrize("lost", ["preprocessor_config.json", "tokenizer.json"])
def test_a_folder_without_its_processor_says_which_file_to_copy(made, tmp_path, lost):
    shutil.copytree(made[0], tmp_path / "bare")
    (tmp_path / "bare" / lost).unlink()
    with pytest.raises(DataError, match=f"no {lost} or .* beside the weights; copy"):
        score(tmp_path / "bare")


def test_pickles_and_unpinned_models_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(DataError, match="pytorch_model.bin is a pickle"):
        make_reward(tiny.params("videoscore", tmp_path))
    with pytest.raises(DataError, match="set revision to the model's 40-hex commit"):
        make_reward(tiny.params("videoscore", "TIGER-Lab/VideoScore"))


def test_the_stage_scores_a_clip_and_keeps_the_score(made, tmp_path):
    clip = make_clip(decode(CLIPS[0].clip), 8)
    row = render_row("v0", prompt="a red ball").model_copy(update={"frames_hash": clip.frames_hash})
    scorer = make_scorer("tiny", tiny.params("videoscore", made[0]))
    rows = list(reward([row], lambda row: clip.content, [scorer], Store(tmp_path / "store")))
    assert not isinstance(rows[0], Dropped) and [item.name for item in rows[0].dims] == NAMES
