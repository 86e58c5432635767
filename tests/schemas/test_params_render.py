import pytest
from pydantic import ValidationError

from pipeline.backends.renderer.http_adapters import ADAPTERS
from schemas import params_render
from schemas.needs import Weights
from schemas.params_render import ADAPTER_KEYS, OPEN_ADAPTERS
from tests.support.bounds import bounds_of
from tests.support.params import section_of, with_values

HTTP = {"backend": "http", "model": "m", "base_url": "https://host/v1", "adapter": "zhipu"}
COMMAND = {"backend": "command", "model": "m", "revision": "r", "command": ["render", "{manifest}", "{clips}"]}


def test_every_adapter_has_the_variable_of_its_key():
    assert ADAPTER_KEYS.keys() == ADAPTERS.keys() and ADAPTERS.keys() > OPEN_ADAPTERS


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({}, ("ZHIPUAI_API_KEY",)),
        ({"adapter": "plain"}, ()),
        ({"adapter": "plain", "api_key_env": "MINE"}, ("MINE",)),
        ({"api_key_env": "MINE"}, ("MINE",)),
    ],
)
def test_a_host_needs_the_key_of_its_adapter_or_the_named_one(laptop, values, keys):
    assert with_values(laptop.render, **HTTP | values).needs.keys == keys


def test_a_host_is_paid_by_the_clip_and_spreads_nothing(laptop):
    needs = with_values(laptop.render, **HTTP, usd_per_clip=0.3).needs
    assert (needs.paid_by, needs.usd_per_unit, needs.device, needs.spreads) == ("clip", 0.3, "host", False)


def test_a_budget_without_a_price_is_refused(laptop):
    with pytest.raises(ValidationError, match="budget_usd needs usd_per_clip"):
        with_values(laptop.render, **HTTP, budget_usd=1)


def test_weights_in_this_process_are_named_to_be_pinned(laptop):
    render = with_values(laptop.render, backend="diffusers", model="a/b", revision="c" * 40)
    assert render.needs.weights == Weights("a/b", "c" * 40) and "render" in render.needs.extras


@pytest.mark.parametrize("word", ["{manifest}", "{clips}"])
def test_a_program_must_be_told_where_its_files_are(laptop, word):
    command = [part for part in COMMAND["command"] if part != word]
    with pytest.raises(ValidationError, match=f"command must hold {word}"):
        with_values(laptop.render, **COMMAND | {"command": command})


def test_a_program_is_what_the_backend_runs_as(laptop):
    assert with_values(laptop.render, **COMMAND).needs.program == ("render", "{manifest}", "{clips}")


def test_the_offline_renderer_needs_its_shape():
    with pytest.raises(ValidationError, match="backend offline needs n_frames, height, width, frames_per_second"):
        section_of("render", backend="offline")


BOUNDS = {
    "CommandRenderParams": {
        "model": "length >= 1", "revision": "length >= 1", "num_inference_steps": "> 0", "guidance_scale": ">= 0",
        "max_sequence_length": "> 0", "batch_size": "> 0", "command": "length >= 1",
    },
    "DiffusersRenderParams": {
        "model": "length >= 1", "revision": "length >= 1", "num_inference_steps": "> 0", "guidance_scale": ">= 0",
        "guidance_scale_2": ">= 0", "flow_shift": "> 0", "max_sequence_length": "> 0", "batch_size": "> 0",
    },
    "HttpRenderParams": {
        "model": "length >= 1", "revision": "length >= 1", "num_inference_steps": "> 0", "guidance_scale": ">= 0",
        "timeout_s": "> 0", "poll_s": "> 0", "max_concurrency": ">= 1", "usd_per_clip": ">= 0", "budget_usd": ">= 0",
    },
    "RendererParams": {
        "n_frames": "> 0", "height": "> 0", "width": "> 0", "frames_per_second": "> 0", "clips_per_shard": "> 0",
    },
}  # fmt: skip


@pytest.mark.parametrize("section", BOUNDS)
def test_a_value_beyond_what_makes_sense_is_refused(section):
    """Written twice on purpose; a new field may join."""
    assert bounds_of(getattr(params_render, section), BOUNDS[section]) == BOUNDS[section]


def test_a_budget_needs_a_price_and_a_command_its_places(laptop):
    host = dict(backend="http", model="m", base_url="http://127.0.0.1:1/v1", adapter="plain", api_key_env="K")
    with pytest.raises(ValidationError, match="budget_usd needs usd_per_clip"):
        with_values(laptop.render, **host, budget_usd=1.0)
    assert with_values(laptop.render, **host, budget_usd=1.0, usd_per_clip=0.5).needs.usd_per_unit == 0.5
    with pytest.raises(ValidationError, match="base_url"):
        with_values(laptop.render, **host | {"base_url": "127.0.0.1/v1"})
    words = ["run", "{manifest}", "{clips}"]
    for word in ("{manifest}", "{clips}"):
        with pytest.raises(ValidationError, match=f"command must hold {word}"):
            with_values(laptop.render, backend="command", model="m", revision="r", command=[
                one for one in words if one != word])  # fmt: skip
    made = with_values(laptop.render, backend="command", model="m", revision="r", command=words)
    assert made.needs.program == tuple(words) and not made.needs.spreads
