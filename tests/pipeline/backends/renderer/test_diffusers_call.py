"""What a pipeline of diffusers is called with, and what becomes of its pictures; no pipeline is loaded."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.backends.renderer.diffusers import Closed, Diffusers
from pipeline.runtime.io import DataError
from pipeline.video.clips import decode
from schemas.base import Provenance
from schemas.reasons import Reason
from schemas.seams import RenderRequest

SETTINGS = {
    "n_frames": 2, "height": 4, "width": 6, "frames_per_second": 5.0, "num_inference_steps": 3, "guidance_scale": 2.5,
    "guidance_scale_2": None, "use_dynamic_cfg": None, "negative_prompt": "blur", "max_sequence_length": 4,
    "dtype": "float16",
}  # fmt: skip
REQUESTS = [RenderRequest("a dog", 7), RenderRequest("a cat", 8)]


def maker(pipeline="LTXPipeline", frames_step=8, **settings):
    """Return a Diffusers with its settings and without weights; a word is a token."""
    made = object.__new__(Diffusers)
    made.settings = SETTINGS | settings
    made.resolved = SimpleNamespace(facts=SimpleNamespace(pipeline=pipeline, frames_step=frames_step))
    made.by, made.token_limit = Provenance(backend="diffusers", model="m", revision="r"), 4
    made.counter = lambda prompt: len(prompt.split())
    return made


def call(made, **reply):
    """Return (what the pipeline was called with, the pictures)."""
    calls = []

    def pipeline(**words):
        calls.append(words)
        return SimpleNamespace(**reply)

    pictures = made.pictures(pipeline, threading.Event(), REQUESTS)
    return calls[0], pictures


@pytest.mark.slow  # it loads torch
def test_every_setting_and_each_requests_seed_reach_the_pipeline():
    words, pictures = call(maker(), frames=["dog", "cat"])
    seeds = [one.initial_seed() for one in words.pop("generator")]
    words.pop("callback_on_step_end")
    assert seeds == [7, 8] and pictures == [("dog", False), ("cat", False)]
    assert words == {
        "prompt": ["a dog", "a cat"], "negative_prompt": ["blur", "blur"], "output_type": "np", "height": 4, "width": 6,
        "num_inference_steps": 3, "guidance_scale": 2.5, "num_frames": 2, "max_sequence_length": 4, "frame_rate": 5.0,
    }  # fmt: skip


@pytest.mark.slow  # it loads torch
def test_a_second_guidance_and_the_dynamic_one_are_handed_on_where_they_are_set():
    words, _ = call(maker("WanPipeline", guidance_scale_2=1.5, use_dynamic_cfg=False), frames=[1, 2])
    assert (words["guidance_scale_2"], words["use_dynamic_cfg"], "frame_rate" in words) == (1.5, False, False)


@pytest.mark.slow  # it loads torch
def test_pictures_are_clips_of_one_frame_and_blackened_ones_are_told():
    images = np.zeros((2, 4, 6, 3))
    words, pictures = call(maker(frames_step=0), images=images, nsfw_content_detected=[False, True])
    assert "num_frames" not in words and "max_sequence_length" not in words
    assert [(picture.shape, black) for picture, black in pictures] == [((1, 4, 6, 3), False), ((1, 4, 6, 3), True)]
    assert [black for _, black in call(maker(frames_step=0), images=images, nsfw_content_detected=None)[1]] == [
        False
    ] * 2


@pytest.mark.slow  # it loads torch
def test_a_pipeline_stops_at_its_next_step_when_nobody_waits():
    closed = threading.Event()

    def pipeline(callback_on_step_end, **words):
        assert callback_on_step_end(None, 0, 0, {"latents": 1}) == {"latents": 1}
        closed.set()
        callback_on_step_end(None, 1, 0, {})

    with pytest.raises(Closed):
        maker().pictures(pipeline, closed, REQUESTS)


def test_frames_become_a_clip_with_its_rate_and_tokens():
    grey = np.full((2, 4, 6, 3), 0.5)
    clip = maker().outcome(RenderRequest("a dog runs far", 7), grey, False).value
    assert (clip.frames_per_second, clip.n_tokens, clip.truncated) == (5.0, 4, False)
    assert abs(decode(clip.content).astype(int) - 128).max() <= 2
    assert maker().outcome(RenderRequest("a dog runs far away", 7), grey, False).value.truncated


@pytest.mark.parametrize(
    ("frames", "blackened", "detail"),
    [
        (np.full((2, 4, 6, 3), 0.5), True, "blackened by the safety checker"),
        (np.full((2, 4, 6, 3), np.nan), False, "frames that are no numbers; float16 may be too small"),
        (np.zeros((2, 4, 6, 3)), False, "every pixel is black"),
    ],
)
def test_what_is_no_video_is_a_failed_render_with_its_reason(frames, blackened, detail):
    outcome = maker().outcome(REQUESTS[0], frames, blackened)
    assert outcome.reason is Reason.RENDER_FAILED and detail in outcome.detail


@pytest.mark.parametrize("shape", [(3, 4, 6, 3), (2, 5, 6, 3), (2, 4, 8, 3)])
def test_another_size_than_was_asked_for_stops_the_run(shape):
    with pytest.raises(DataError, match="m made .* where 2 of 4 x 6 were asked for"):
        maker().outcome(REQUESTS[0], np.full(shape, 0.5), False)
