from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.runtime.store import Store
from pipeline.video.clips import ClipStore, make_clip
from pipeline.video.rendering import ClipRequest, Rendering, clip_seed, render_clips, video_id
from schemas.base import Prompt, Provenance
from schemas.needs import Needs
from schemas.reasons import Reason
from schemas.seams import Outcome, RenderRequest
from tests.support.rows import prompt_fields


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


def test_a_seed_belongs_to_query_and_replicate_and_is_that_of_earlier_versions():
    whole = clip_seed(0, "q")
    others = {clip_seed(1, "q"), clip_seed(0, "r"), clip_seed(0, "q", 1)}
    assert whole == clip_seed(0, "q", 0) == 1393046556 and len(others | {whole}) == 4
    assert all(0 <= one < 2**31 for one in (whole, *others))


class Failing:
    """A renderer that fails on what holds "cat" and counts what it is asked."""

    by, settings, needs = Provenance(backend="b", model="m", revision="r"), {"n_frames": 1}, Needs("cpu")

    def __init__(self):
        self.asked = []

    def map(self, requests):
        for request in requests:
            self.asked.append(request.prompt)
            if "cat" in request.prompt:
                yield Outcome(reason=Reason.CONTENT_FILTER, detail="no cats")
            else:
                yield Outcome(value=make_clip(np.full((1, 16, 16, 3), 90, np.uint8), 8))


def test_a_clip_is_kept_and_a_failure_has_its_reason_and_is_asked_again(tmp_path):
    clips, failing = ClipStore(Store(tmp_path / "store")), Failing()
    rows = [Prompt(**prompt_fields(prompt=text, sample=at)) for at, text in enumerate(["a dog", "a cat", "a fox"])]
    requests = [ClipRequest(row, RenderRequest(row.prompt, 7)) for row in rows]
    outcomes = [outcome for _, outcome in render_clips(requests, Rendering(failing, lambda: failing), clips)]
    assert [outcome.value and outcome.value["video_id"] for outcome in outcomes] == [
        video_id(failing, requests[0].request), None, video_id(failing, requests[2].request)
    ]  # fmt: skip
    assert (outcomes[1].reason, outcomes[1].detail) == (Reason.CONTENT_FILTER, "no cats")
    list(render_clips(requests, Rendering(failing, lambda: failing), clips))
    assert failing.asked == ["a dog", "a cat", "a fox", "a cat"]
