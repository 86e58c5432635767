"""What a unit costs, by hand: seconds, the words beside them, and where they are of a CPU or a host."""

import pytest

from pipeline.backends.renderer.facts import COGVIDEOX_2B
from pipeline.runtime.speeds import CPU, HOST
from schemas.needs import Reading
from tests.support.params import with_values
from vpo.planning.gpu_cost import (
    PEAK,
    READ_SHARE,
    SHARE,
    STEP_S,
    UNKNOWN,
    Cost,
    GpuRow,
    cost_of_facts,
    idle,
    memory,
    sampling,
    scoring,
    training,
)


def row(to_make=7200.0):
    return GpuRow("render@dpo", "clips", "diffusers", "m", to_make=to_make, gpu_gigabytes=9.0)


@pytest.mark.parametrize(
    ("to_make", "cost", "on_cpu", "figures"),
    [
        (7200, Cost(2.0, "s", "H100"), False, (2.0, "s", 4.0, 0.0, 9.0)),
        (7200, Cost(2.0, "s", CPU), False, (2.0, "s", 0.0, 4.0, 9.0)),
        (7200, Cost(2.0, "s", HOST), False, (2.0, "s", 0.0, 0.0, 9.0)),
        (7200, Cost(2.0, "s", "H100"), True, (2.0, "s", 0.0, 4.0, 0.0)),
        (0, Cost(2.0, "s", "H100"), False, (2.0, "s", 0.0, 0.0, 9.0)),
        (0, Cost(2.0, "s", CPU), True, (2.0, "s", 0.0, 0.0, 0.0)),
        (7200, None, False, (None, UNKNOWN, None, 0.0, 9.0)),
        (7200, None, True, (None, "offline: nothing on a GPU", 0.0, None, 0.0)),
        (0, None, False, (None, UNKNOWN, 0.0, 0.0, 9.0)),
    ],
)
def test_hours_are_of_a_gpu_a_cpu_or_nobody_s(to_make, cost, on_cpu, figures):
    made = row(to_make).costs(cost, on_cpu)
    assert (made.seconds_each, made.source, made.gpu_hours, made.cpu_hours, made.gpu_gigabytes) == figures


def test_a_row_that_makes_nothing_has_what_is_there():
    made = idle(row(), 5.0, "why")
    assert (made.wanted, made.in_store, made.to_make, made.notes) == (5.0, 5.0, 0.0, ["why"])


@pytest.fixture
def diffusers(laptop):
    empty = dict.fromkeys(("num_inference_steps", "n_frames", "height", "width"))
    return lambda **values: with_values(laptop.render, backend="diffusers", model="a/b", **empty | values)


@pytest.mark.parametrize(
    ("values", "settings", "seconds", "scale"),
    [
        ({}, {}, 45.0, None), ({"num_inference_steps": 25}, {}, 22.5, "0.5"), ({}, {"n_frames": 98}, 90.0, "2"),
        ({"height": 240, "width": 360}, {}, 45 / 4, "0.25"), ({"n_frames": 98}, {"n_frames": 49}, 45.0, None),
    ],
)  # fmt: skip
def test_published_seconds_are_scaled_by_steps_and_pixels(diffusers, values, settings, seconds, scale):
    cost = cost_of_facts(diffusers(**values), COGVIDEOX_2B, settings)
    more = f", times {scale} for steps and pixels that are not the authors' (assumed)" if scale else ""
    assert cost == Cost(pytest.approx(seconds), f"published for H100{more}", "H100")


def test_what_is_published_with_tiles_or_another_offload_is_said_to_be_less(diffusers):
    assert memory(diffusers(offload="none", vae_tiling=False), COGVIDEOX_2B) == (12.5, [
        "render.offload none takes more: GPU gigabytes are published with offload model",
        "render.vae_tiling false takes more: GPU gigabytes are published with it",
    ])  # fmt: skip
    assert memory(diffusers(), None) == (None, [])


def test_a_score_and_a_text_cost_what_is_read_and_written():
    asking = Reading(weights=None, tokens=1000, asks=True)
    cost = scoring(asking, "them/8B", 29)
    assert cost.seconds == pytest.approx(2 * 8e9 * 29_000 / (0.1 * 989e12))
    assert cost.source == "assumed: 8B weights read 29,000 tokens a score, at 10 % of an H100"
    assert scoring(Reading(weights=None, tokens=1000, asks=False), "them/8B", 29).seconds == pytest.approx(
        cost.seconds / 29
    )
    assert scoring(asking, "them/it", 29) is None and scoring(None, "them/8B", 29) is None
    text = sampling(100, 16)
    assert text.seconds == pytest.approx(100 * 0.03 / 16)
    assert text.source == "assumed: 100 tokens a text, 16 side by side at 30 ms a step (H100)"
    assert (READ_SHARE, STEP_S, SHARE) == (0.1, 0.03, 0.4)


@pytest.mark.parametrize(
    ("values", "passes", "tflops"),
    [
        ({"bf16": True, "gradient_checkpointing": False}, 6, 989),
        ({"bf16": False, "gradient_checkpointing": True}, 8, 67),
    ],
)  # fmt: skip
def test_a_token_of_sft_by_hand(laptop, values, passes, tflops):
    cost = training(laptop.sft.model_copy(update=values), 10**9)
    assert cost.seconds == pytest.approx(passes * 1e9 / (0.4 * tflops * 1e12))
    assert cost.source == f"assumed: {passes} N FLOPs a token at 40 % of {tflops} TFLOPS ({PEAK[tflops == 989][1]})"


@pytest.mark.parametrize(
    ("precompute", "epochs", "more"), [(False, 1, 2), (False, 4, 2), (True, 1, 2), (True, 4, 0.5), (True, 0.5, 2)]
)
def test_the_reference_of_dpo_by_hand(laptop, precompute, epochs, more):
    values = {"precompute_ref_log_probs": precompute, "num_train_epochs": epochs, "gradient_checkpointing": False}
    cost = training(laptop.dpo.train.model_copy(update=values | {"bf16": True}), 10**9)
    assert cost.seconds == pytest.approx((6 + more) * 1e9 / (0.4 * 989e12))
