import pytest

from pipeline.backends.renderer import make_renderer
from pipeline.video.clips import decode
from pipeline.video.rendering import video_id
from schemas.seams import RenderRequest


@pytest.fixture
def renderer(laptop):
    return make_renderer(laptop.render, laptop.world)


def clips(renderer, *prompts, seed=7):
    outcomes = list(renderer.map(RenderRequest(prompt, seed) for prompt in prompts))
    return [outcome.value for outcome in outcomes]


def test_a_clip_has_the_size_and_rate_of_the_params(renderer):
    (clip,) = clips(renderer, "A dog runs.")
    assert decode(clip.content).shape == (clip.n_frames, clip.height, clip.width, 3) == (12, 48, 48, 3)
    assert clip.frames_per_second == 8


def test_equal_requests_give_equal_bytes_in_any_company(renderer, laptop):
    alone = clips(renderer, "A dog runs.")[0]
    again = clips(make_renderer(laptop.render, laptop.world), "A cat.", "A dog runs.")[1]
    assert alone == again


def test_words_are_counted_and_those_beyond_the_limit_are_not_read(renderer):
    short, long, longer = clips(renderer, "A dog runs.", "A dog runs. " * 80, "A dog runs. " * 80 + "A boat.")
    assert (short.n_tokens, short.truncated) == (3, False)
    assert (longer.n_tokens, longer.truncated) == (242, True)
    assert long.frames_hash == longer.frames_hash
    just, beyond = clips(renderer, "A dog runs. " * 75 + "Far.", "A dog runs. " * 75 + "Far away.")
    assert (just.n_tokens, just.truncated, beyond.n_tokens, beyond.truncated) == (226, False, 227, True)
    assert renderer.token_limit == 226


def test_a_negative_prompt_is_obeyed_and_part_of_the_id(renderer, laptop):
    avoiding = make_renderer(laptop.render.model_copy(update={"negative_prompt": "dog"}), laptop.world)
    request = RenderRequest("A dog in the city.", 7)
    assert video_id(renderer, request) != video_id(avoiding, request)
    assert clips(renderer, request.prompt)[0].frames_hash != clips(avoiding, request.prompt)[0].frames_hash


@pytest.mark.parametrize("knob", ["load", "drama"])
def test_a_knob_of_the_world_is_part_of_the_revision(renderer, laptop, knob):
    other = make_renderer(laptop.render, laptop.world.model_copy(update={knob: 0.5}))
    assert other.by.revision != renderer.by.revision


def test_other_knobs_of_the_world_leave_the_clips_alone(renderer, laptop):
    assert make_renderer(laptop.render, laptop.world.model_copy(update={"queries": 9})).by == renderer.by


def test_the_last_word_that_is_read_is_the_226th(renderer):
    dog = "A dog runs" + " zzz" * 222
    plain, read, unread = clips(renderer, f"{dog} zzz", f"{dog} boat.", f"{dog} zzz boat.")
    assert read.frames_hash != plain.frames_hash == unread.frames_hash
    assert (read.n_tokens, unread.n_tokens) == (226, 227)
