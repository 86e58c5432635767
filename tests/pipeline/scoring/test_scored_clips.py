import pytest

from pipeline.backends.renderer.offline import Offline
from pipeline.backends.reward.offline import OfflineDims
from pipeline.runtime.store import Store
from pipeline.scoring.clip_scores import Scorer
from pipeline.scoring.scored_clips import render_and_score
from pipeline.video.clips import ClipStore
from pipeline.video.rendering import ClipRequest, Rendering, clip_seed
from schemas.reasons import Reason
from schemas.rollout import Rollout
from schemas.seams import Outcome, RenderRequest
from tests.support.rows import prompt_fields


class Counted:
    """A backend that counts what is bought of it; the renderer fails on a prompt that holds `fails`."""

    def __init__(self, backend, fails=None):
        self.backend, self.fails, self.bought = backend, fails, 0
        self.by, self.settings = backend.by, getattr(backend, "settings", {})
        self.needs = getattr(backend, "needs", None)

    def map(self, items):
        for item in items:
            self.bought += 1
            if self.fails and self.fails in item.prompt:
                yield Outcome(reason=Reason.RENDER_FAILED, detail="out of memory")
            else:
                yield from self.backend.map([item])


@pytest.fixture
def requests():
    queries = ("a red dog", "a green cat", "a blue boat")
    rows = [Rollout(**prompt_fields(query=query, prompt=f"{query} on a lake.")) for query in queries]
    return [ClipRequest(row, RenderRequest(row.prompt, clip_seed(0, row.query_id))) for row in rows]


def test_prompts_are_rendered_and_scored_in_one_pass_and_neither_half_is_bought_twice(laptop, tmp_path, requests):
    renderer = Counted(Offline(laptop.render, laptop.world), fails="cat")
    dims = laptop.reward.models["dims"]
    model = Counted(OfflineDims(dims))
    scorer = Scorer("dims", dims, model.by, lambda: model)
    clips = ClipStore(Store(tmp_path / "store"))
    rendering = Rendering(renderer, lambda: renderer)
    first = list(render_and_score(requests, rendering, clips, [scorer]))
    assert [scored.item for scored in first] == requests
    assert [scored.clip.reason for scored in first] == [None, Reason.RENDER_FAILED, None]
    assert [list(scored.scores) for scored in first] == [["dims"], [], ["dims"]]
    assert all(scored.scores["dims"].value["dims"] for scored in (first[0], first[2]))
    assert (renderer.bought, model.bought) == (3, 2)
    again = list(render_and_score([requests[0], requests[2]], rendering, clips, [scorer]))
    assert [scored.scores["dims"].value for scored in again] == [first[i].scores["dims"].value for i in (0, 2)]
    assert (renderer.bought, model.bought) == (3, 2)


def test_two_requests_of_one_clip_share_it_and_its_scores(laptop, tmp_path, requests):
    renderer, dims = Offline(laptop.render, laptop.world), laptop.reward.models["dims"]
    model = Counted(OfflineDims(dims))
    scorer = Scorer("dims", dims, model.by, lambda: model)
    clips = ClipStore(Store(tmp_path / "store"))
    one, other = render_and_score([requests[0]] * 2, Rendering(renderer, lambda: renderer), clips, [scorer])
    assert one == other and model.bought == 1
