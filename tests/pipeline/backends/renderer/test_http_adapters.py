import pytest

from pipeline.backends.renderer.http import Http
from pipeline.runtime.io import DataError
from schemas.reasons import Reason
from tests.support.clip_requests import one, params
from tests.support.clip_server import KEY, clip_of

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def keys(monkeypatch, vpo_home):
    monkeypatch.setenv("HOST_KEY", KEY)


def test_the_plain_protocol_sends_what_is_set_and_nothing_else(laptop):
    _, server = one(laptop, num_inference_steps=20, frames_per_second=None)
    (body,) = server.bodies
    assert len(body.pop("id")) == 16
    assert body == {
        "model": "m", "prompt": "a dog", "seed": 7, "n_frames": 4, "height": 32, "width": 48, "num_inference_steps": 20,
    }  # fmt: skip
    looks = [("GET", "/v1/clips/job-0")] * 2
    content = ("GET", "/v1/clips/job-0/content")
    assert [(method, path) for method, path, _ in server.log] == [("POST", "/v1/clips"), *looks, content]


def test_zhipus_protocol_is_spoken(laptop):
    outcome, server = one(laptop, adapter="zhipu", n_frames=None)
    assert outcome.value.content == clip_of("a dog")
    (body,) = server.bodies
    assert len(body.pop("request_id")) == 16
    assert body == {"model": "m", "prompt": "a dog", "size": "48x32", "fps": 8}
    paths = [path for _, path, _ in server.log]
    assert (paths[0], paths[1], paths[-1]) == ("/v1/videos/generations", "/v1/async-result/job-0", "/files/job-0")


def test_openais_protocol_is_spoken(laptop):
    outcome, server = one(laptop, adapter="openai", n_frames=None, frames_per_second=None)
    assert outcome.value.content == clip_of("a dog")
    assert server.bodies == [{"model": "m", "prompt": "a dog", "size": "48x32"}]
    assert {path for _, path, _ in server.log} == {"/v1/videos", "/v1/videos/job-0", "/v1/videos/job-0/content"}


@pytest.mark.parametrize("adapter", ["zhipu", "openai"])
def test_frames_and_rate_are_sent_as_seconds(laptop, adapter):
    renderer = Http(params(laptop, "http://127.0.0.1:1", adapter=adapter, n_frames=32))
    body = renderer.adapter.submit("m", "p", 0, renderer.sent, "once").body
    assert body.get("duration", body.get("seconds")) in (4, "4")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (dict(adapter="openai", negative_prompt="blur"), 'openai cannot send render.negative_prompt: set it to ""'),
        (dict(adapter="zhipu", guidance_scale=6.0), "zhipu cannot send render.guidance_scale: set it to null"),
        (dict(adapter="openai", n_frames=49), "is 6.125 seconds: this host makes whole seconds"),
        (dict(height=None), "render.height and render.width are sent together"),
        (dict(base_url="https://me:secret@x"), "without a name and password"),
    ],
)
def test_what_the_host_cannot_be_told_stops_before_the_run(laptop, values, says):
    with pytest.raises(DataError, match=says):
        Http(params(laptop, **({"base_url": "http://127.0.0.1:1"} | values)))


@pytest.mark.parametrize("adapter", ["zhipu", "openai"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("policy", Reason.CONTENT_FILTER),
        ("refuses", Reason.CONTENT_FILTER),
        ("fails", Reason.RENDER_FAILED),
    ],
)
def test_the_other_protocols_refusals_are_told_from_failures(laptop, adapter, fault, reason):
    outcome, _ = one(laptop, fault, adapter=adapter, n_frames=None)
    assert outcome.reason == reason
