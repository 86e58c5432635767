import pytest

from pipeline.backends.renderer.http import Http
from pipeline.runtime.io import DataError
from schemas.params_render import RenderParams
from schemas.reasons import Reason
from schemas.seams import RenderRequest
from tests.support.clip_server import KEY, clip_of, serving_clips
from tests.support.params import with_values

pytestmark = pytest.mark.slow


PROMPTS = [f"prompt {number}" for number in range(6)]


@pytest.fixture(autouse=True)
def keys(monkeypatch, vpo_home):
    monkeypatch.setenv("HOST_KEY", KEY)


def params(laptop, base_url, **values) -> RenderParams:
    base = dict(
        backend="http", model="m", base_url=base_url, adapter="plain", n_frames=4, height=32, width=48,
        frames_per_second=8, api_key_env="HOST_KEY", poll_s=0.01, timeout_s=30, max_concurrency=3,
    )  # fmt: skip
    return with_values(laptop.render, **{**base, **values})


def made(laptop, server, prompts=PROMPTS, **values) -> list:
    renderer = Http(params(laptop, server.base_url, **values))
    return list(renderer.map(RenderRequest(prompt, 7) for prompt in prompts))


def one(laptop, *faults, **values):
    """Ask for one clip of a host with faults; return the outcome and the server."""
    settings = {name: values.pop(name) for name in ("elsewhere", "looks") if name in values}
    with serving_clips(faults={"a dog": faults}, **settings) as server:
        (outcome,) = made(laptop, server, ["a dog"], **values)
    return outcome, server


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
