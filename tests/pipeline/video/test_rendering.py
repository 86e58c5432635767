from types import SimpleNamespace

import pytest

from pipeline.video.rendering import video_id
from schemas.base import Provenance
from schemas.seams import RenderRequest


def renderer(settings=None, **by):
    return SimpleNamespace(
        by=Provenance(**{"backend": "b", "model": "m", "revision": "r"} | by), settings=settings or {"n_frames": 2}
    )


ID = video_id(renderer(), RenderRequest("a dog", 7))


@pytest.mark.parametrize("by", [{"backend": "c"}, {"model": "n"}, {"revision": "s"}])
def test_who_renders_is_part_of_the_id(by):
    assert video_id(renderer(**by), RenderRequest("a dog", 7)) != ID


@pytest.mark.parametrize("request_", [RenderRequest("a cat", 7), RenderRequest("a dog", 8)])
def test_prompt_and_seed_are_part_of_the_id(request_):
    assert video_id(renderer(), request_) != ID


def test_the_settings_are_part_of_the_id_and_the_template_of_the_writer_is_not():
    assert video_id(renderer({"n_frames": 3}), RenderRequest("a dog", 7)) != ID
    assert video_id(renderer(template="t"), RenderRequest("a dog", 7)) == ID


def test_the_id_is_that_of_earlier_versions():
    """A stored clip is found by it: another value here un-buys every clip."""
    assert ID == "f046462e671a91ef"
