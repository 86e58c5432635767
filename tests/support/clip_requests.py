"""Clips asked of a host that speaks HTTP, by the backend `http`."""

from pipeline.backends.renderer.http import Http
from schemas.params_render import RenderParams
from schemas.seams import RenderRequest
from tests.support.clip_server import serving_clips
from tests.support.params import with_values

PROMPTS = [f"prompt {number}" for number in range(6)]


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
