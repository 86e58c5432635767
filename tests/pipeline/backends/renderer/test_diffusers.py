"""Clips of tiny pipelines: each the same whatever was rendered before, in order, or gone with a reason."""

import shutil
import threading

import numpy as np
import pytest

from pipeline.backends.batches import BatchSize, run_batches
from pipeline.backends.renderer import make_renderer
from pipeline.backends.renderer.diffusers import Diffusers
from pipeline.render import plan_clips, render
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store
from pipeline.video.clips import ClipStore, Packed, decode, frames_hash, read_clip, write_shards
from pipeline.video.rendering import Rendering, video_id
from schemas.render import Render
from schemas.rollout import Rollout
from schemas.seams import RenderRequest
from tests.support import tiny_pipelines
from tests.support.rows import prompt_fields
from tests.support.tiny_pipelines import CAT, DOG, FAMILIES, SIZES, with_weights

pytestmark = pytest.mark.slow


def clips_of(renderer, *requests):
    outcomes = list(renderer.map(requests))
    assert [outcome.detail for outcome in outcomes if outcome.value is None] == []
    return [outcome.value for outcome in outcomes]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("model_index.json", "[]", "model_index.json: holds no object"),
        ("model_index.json", "{}", "is a pipeline without a class; backend diffusers knows"),
        ("model_index.json", "[" * 100_000, "model_index.json: "),
        ("transformer/config.json", "7", "config.json: holds no object"),
    ],
)
def test_a_config_that_is_none_is_refused_in_one_line(tiny_pipeline, diffusers_params, tmp_path, name, text, said):
    folder = shutil.copytree(tiny_pipeline("wan"), tmp_path / "odd")
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=said):
        Diffusers(diffusers_params(folder))


def test_cogvideox_15_makes_ten_seconds_and_no_more(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("cogvideox"), tmp_path / "newer")
    tiny_pipelines.changed(
        folder, "transformer/config.json", num_attention_heads=48, patch_size_t=2, use_rotary_positional_embeddings=True
    )
    assert Diffusers(diffusers_params(folder, n_frames=161)).settings["n_frames"] == 161
    with pytest.raises(DataError, match="n_frames must be at most 161, as its authors run it, not 177"):
        Diffusers(diffusers_params(folder, n_frames=177))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_from_prompts_to_shards_that_decode(tiny_pipeline, diffusers_params, laptop, tmp_path, family):
    clips, folder = ClipStore(Store(tmp_path / "store")), tmp_path / "render"
    renderer = make_renderer(diffusers_params(tiny_pipeline(family), **(SIZES | FAMILIES[family])), laptop.world)

    def pack(facts):
        return write_shards(folder, [Packed(item["video_id"], clips.path(item["video_id"])) for item in facts], 2)

    rows = [
        Rollout(**prompt_fields(prompt=text, sample=at))
        for at, text in enumerate(["a dog runs", "a cat sits", "slow camera " * 60])
    ]
    made = list(render(plan_clips(rows, 0), Rendering(renderer, lambda: renderer), clips, pack))
    assert [row.truncated for row in made] == [False, False, family in ("cogvideox", "stable_diffusion")]
    n_frames = 1 if family == "stable_diffusion" else 9
    for row in made:
        assert isinstance(row, Render) and row.video_id == video_id(renderer, RenderRequest(row.prompt, row.seed))
        frames = decode(read_clip(folder, row))
        assert frames.shape == (row.n_frames, row.height, row.width, 3) == (n_frames, 64, 64, 3)
        assert frames_hash(frames) == row.frames_hash
    assert len({row.frames_hash for row in made}) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_is_the_same_whatever_was_rendered_before(tiny_renderer, family):
    alone = clips_of(tiny_renderer(family), CAT)[0]
    assert clips_of(tiny_renderer(family), DOG, RenderRequest(CAT.prompt, 9), CAT)[2] == alone


@pytest.mark.parametrize("family", FAMILIES)
def test_in_a_batch_a_clip_differs_from_itself_alone_in_the_last_bits_at_most(tiny_renderer, family):
    requests = [DOG, CAT, RenderRequest("a bird flies", 2)]
    alone = [picture for request in requests for picture in raw(tiny_renderer(family), [request])]
    for one, other in zip(alone, raw(tiny_renderer(family), requests), strict=True):
        assert np.abs(one - other).max() < 1e-4


def raw(renderer, requests):
    return [frames for frames, _ in renderer.pictures(renderer.pipeline, threading.Event(), requests)]


def test_prompts_of_a_batch_keep_their_seeds_and_places(tiny_renderer):
    requests = [DOG, RenderRequest(DOG.prompt, 2), CAT]
    one, other = clips_of(tiny_renderer("wan"), *requests), clips_of(tiny_renderer("wan", batch_size=3), *requests)
    for alone, beside in zip(one, other, strict=True):
        apart = np.abs(decode(alone.content).astype(int) - decode(beside.content))
        assert apart.mean() < 1


def test_siblings_begin_with_the_same_noise(tiny_renderer):
    """VPO's clips of one query differ by the prompt."""
    import torch

    first = tiny_renderer("wan")
    noise = [starting(first, request) for request in (DOG, CAT, RenderRequest(DOG.prompt, 2))]
    assert torch.equal(noise[0], noise[1]) and not torch.equal(noise[0], noise[2])


def starting(renderer, request):
    """Return the latents before the first step."""
    pipeline, seen = renderer.pipeline, []
    step = pipeline.scheduler.step

    class Seen(Exception):
        pass

    def look(model_output, timestep, sample, **kwargs):
        seen.append(sample.clone())
        raise Seen

    pipeline.scheduler.step = look
    with pytest.raises(Seen):
        raw(renderer, [request])
    pipeline.scheduler.step = step
    return seen[0]


def test_tokens_are_counted_as_the_pipeline_cuts_them(tiny_renderer):
    renderer = tiny_renderer("cogvideox")
    fits = " ".join(["dog"] * 15)
    assert [renderer.count_tokens(text) for text in (fits, fits + " dog")] == [16, 17]
    whole, cut, more = clips_of(renderer, *(RenderRequest(fits + words, 1) for words in ("", " dog", " dog runs")))
    assert (whole.n_tokens, whole.truncated, cut.truncated, more.n_tokens) == (16, False, True, 18)
    assert cut.frames_hash == more.frames_hash


def test_the_instruction_before_the_prompt_is_not_counted(tiny_renderer):
    renderer = tiny_renderer("hunyuan", max_sequence_length=5)
    assert renderer.count_tokens("a dog runs") == 4
    dogs = [RenderRequest("dog " * n, 1) for n in (4, 5, 6)]
    fits, cut, more = clips_of(renderer, *dogs)
    assert [clip.truncated for clip in (fits, cut, more)] == [False, True, True]
    assert fits.frames_hash != cut.frames_hash


def test_a_prompt_is_cleaned_before_its_tokens_are_counted_where_the_pipeline_cleans(tiny_renderer):
    assert tiny_renderer("wan").count_tokens("a  dog &amp;amp; a   cat") == tiny_renderer("wan").count_tokens(
        "a dog & a cat"
    )


@pytest.mark.parametrize(
    "values, said",
    [
        ({"decoder__conv_out__bias": float("nan")}, "frames that are no numbers; float32 may be too small"),
        ({"decoder__conv_out__weight": 0.0, "decoder__conv_out__bias": -9.0}, "every pixel is black"),
    ],
)
def test_frames_that_show_nothing_leave_with_a_reason(tiny_pipeline, diffusers_params, tmp_path, values, said):
    folder = with_weights(shutil.copytree(tiny_pipeline("wan"), tmp_path / "broken"), "vae", **values)
    outcomes = list(Diffusers(diffusers_params(folder, **SIZES)).map([DOG, CAT]))
    assert [outcome.reason for outcome in outcomes] == ["render_failed"] * 2
    assert all(said in outcome.detail for outcome in outcomes)


def test_frames_of_another_size_than_was_asked_for_stop_the_stage(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("cogvideox"), tmp_path / "uneven")
    tiny_pipelines.changed(folder, "vae/config.json", sample_height=64, sample_width=64)
    sizes = SIZES | FAMILIES["cogvideox"]
    with pytest.raises(DataError, match="made 9 frames of 70 x 68 pixels where 9 of 64 x 64 .* set render.vae_tiling"):
        list(Diffusers(diffusers_params(folder, **sizes)).map([DOG]))
    assert clips_of(Diffusers(diffusers_params(folder, **sizes, vae_tiling=False)), DOG)[0].height == 64


def test_a_picture_that_the_safety_checker_blackened_leaves_and_without_the_checker_it_stays(
    diffusers_params, tmp_path
):
    folder = tiny_pipelines.stable_diffusion(tmp_path / "strict", checker=-2.0)
    sizes = SIZES | FAMILIES["stable_diffusion"]
    (outcome,) = Diffusers(diffusers_params(folder, **sizes)).map([DOG])
    assert (outcome.reason, outcome.detail) == ("render_failed", "blackened by the safety checker")
    (outcome,) = Diffusers(diffusers_params(folder, **sizes, safety_checker=False)).map([DOG])
    assert outcome.value.n_frames == 1


def test_clips_come_in_order_and_a_batch_is_read_ahead_of_what_is_told(tiny_renderer):
    read = []

    def requests():
        for seed in range(5):
            read.append(seed)
            yield RenderRequest("a dog runs", seed)

    renderer = tiny_renderer("wan", batch_size=2)
    told = renderer.map(requests())
    first = next(told)
    assert read == [0, 1, 2, 3]
    rest = [first, *told]
    alone = clips_of(tiny_renderer("wan", batch_size=2), *(RenderRequest("a dog runs", seed) for seed in range(5)))
    assert [outcome.value for outcome in rest] == alone


def test_a_generator_that_is_closed_stops_at_the_next_step_and_leaves_no_thread(tiny_renderer):
    renderer, steps, closing = tiny_renderer("wan"), [], threading.Event()
    step = renderer.pipeline.scheduler.step

    def counted(*args, **kwargs):
        steps.append(1)
        if len(steps) == 50:  # of the second clip: it must not be over before the first is encoded here
            closing.wait()
        return step(*args, **kwargs)

    renderer.pipeline.scheduler.step = counted

    def requests():
        yield DOG
        renderer.settings["num_inference_steps"] = 900
        yield CAT

    outcomes = renderer.map(requests())
    assert next(outcomes).value is not None
    closing.set()
    outcomes.close()
    assert len(steps) < 900 and not rendering()


def test_a_fault_of_the_pipeline_is_told_after_the_clips_that_were_whole(tiny_renderer):
    renderer = tiny_renderer("wan")
    outcomes = renderer.map([DOG, RenderRequest("a cat", "no seed"), CAT])
    assert next(outcomes).value is not None
    with pytest.raises(RuntimeError, match="manual_seed"):
        next(outcomes)
    assert not rendering()


def rendering() -> list[str]:
    """Return the names of the threads that render."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("render")]


def test_a_batch_that_does_not_fit_is_halved_and_what_fits_is_remembered(vpo_home):
    import torch

    asked = []

    def run(batch):
        asked.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("no room")
        return batch

    size = BatchSize(8, "diffusers", "tiny")
    assert [item for some in run_batches(range(9), size, run) for item in some] == list(range(9))
    assert asked == [8, 4, 2, 2, 2, 2, 1] and BatchSize(8, "diffusers", "tiny").now == 2
