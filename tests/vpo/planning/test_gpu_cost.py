import pytest

from pipeline.backends.renderer.facts import COGVIDEOX_2B, COGVIDEOX_5B, LTX_VIDEO, WAN_22_A14B
from pipeline.runtime.speeds import CPU, Speed, Work, keep_speed
from schemas.needs import Reading
from tests.support.params import with_values
from vpo.planning.gpu_cost import (
    Cost,
    GpuRow,
    cost_of_facts,
    idle,
    memory,
    read_cost,
    sampling,
    scoring,
    size_of,
    training,
)

pytestmark = pytest.mark.slow


def test_hours_are_units_times_seconds():
    row = GpuRow("render@dpo", "clips", "diffusers", "m", to_make=36_000)
    assert row.costs(Cost(45.0, "published for H100", "H100"), on_cpu=False).gpu_hours == 450
    row = GpuRow("render@dpo", "clips", "diffusers", "m", to_make=36_000)
    row.costs(Cost(45.0, "measured on cpu", CPU), on_cpu=False)
    assert (row.gpu_hours, row.cpu_hours) == (0, 450)


@pytest.mark.parametrize(
    ("facts", "values", "gigabytes", "n_assumed"),
    [
        (COGVIDEOX_2B, {"offload": "sequential"}, 4, 0),
        (COGVIDEOX_2B, {"offload": "group"}, 4, 1),
        (COGVIDEOX_2B, {"offload": "model"}, 12.5, 0),
        (COGVIDEOX_2B, {"offload": "none"}, 12.5, 1),
        (COGVIDEOX_5B, {"offload": "model", "vae_tiling": False}, 20.7, 1),
        (WAN_22_A14B, {}, 80, 0),
        (WAN_22_A14B, {"offload": "sequential"}, None, 0),
        (LTX_VIDEO, {}, None, 0),
    ],
)
def test_memory_follows_the_offload_and_says_what_it_assumes(laptop, facts, values, gigabytes, n_assumed):
    found, assumed = memory(with_values(laptop.render, backend="diffusers", model="them/it", **values), facts)
    assert (found, len(assumed)) == (gigabytes, n_assumed)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", 8e9),
        ("Qwen/Qwen2.5-0.5B", 0.5e9),
        ("zai-org/CogVideoX-2b", 2e9),
        ("them/8bit-model", None),
        ("openai/clip-vit-large-patch14", None),
    ],
)
def test_weights_are_read_off_a_name_where_it_tells_them(name, weights):
    assert size_of(name) == weights


def test_a_score_costs_what_is_read_for_it_each_question_anew_where_the_model_does_so():
    once = scoring(Reading(8e9, 1000), "", 29)
    assert once.seconds == pytest.approx(2 * 8e9 * 1000 / 98.9e12)
    assert scoring(Reading(8e9, 1000, asks=True), "", 29).seconds == pytest.approx(29 * once.seconds)
    assert scoring(Reading(0, 1000), "them/it-8B", 1).seconds == pytest.approx(once.seconds)
    assert once.source == "assumed: 8B weights read 1,000 tokens a score, at 10 % of an H100"
    assert scoring(Reading(0, 1000), "them/it", 1) is None and scoring(None, "them/it-8B", 1) is None


def test_a_text_costs_its_share_of_the_steps():
    assert sampling(100, 10).seconds == pytest.approx(0.3)


def test_a_model_without_published_seconds_is_unknown(laptop):
    assert cost_of_facts(laptop.render, None, {}) is None


def test_the_best_measurement_is_taken(tmp_path):
    work = Work("score", "videoscore", "m", "r", "s")
    keep_speed(tmp_path, work, Speed(9, 90.0, False, CPU))
    assert read_cost(tmp_path, work) == Cost(10.0, "measured on cpu", CPU)
    keep_speed(tmp_path, work, Speed(9, 18.0, True, "H100"))
    assert read_cost(tmp_path, work).device == CPU
    keep_speed(tmp_path, work, Speed(9, 9.0, False, "A100"))
    assert read_cost(tmp_path, work) == Cost(1.0, "measured on A100", "A100")
    assert read_cost(tmp_path / "none", work) is None


def test_eight_billion_weights_on_an_h100(laptop):
    sft = laptop.sft.model_copy(update={"bf16": True})
    cost = training(sft, 8_000_000_000)
    assert cost.seconds == pytest.approx(6 * 8e9 / (0.4 * 989e12))
    assert cost.source == "assumed: 6 N FLOPs a token at 40 % of 989 TFLOPS (H100, bf16)"
    checkpointed = training(sft.model_copy(update={"gradient_checkpointing": True}), 8_000_000_000)
    assert checkpointed.seconds == pytest.approx(8 / 6 * cost.seconds)


def test_the_reference_goes_forward_once_where_it_is_precomputed_else_in_every_epoch(laptop):
    dpo = laptop.dpo.train.model_copy(update={"bf16": True, "num_train_epochs": 4})
    every = dpo.model_copy(update={"precompute_ref_log_probs": False})
    assert training(dpo, 1000).seconds == pytest.approx(6.5 * 1000 / (0.4 * 989e12))
    assert training(every, 1000).seconds == pytest.approx(8 * 1000 / (0.4 * 989e12))


def test_a_stage_that_does_not_run_makes_nothing():
    row = idle(GpuRow("render@dpo", "clips", "diffusers", "m", to_make=7), 5.0)
    assert (row.wanted, row.in_store, row.to_make, row.notes) == (5.0, 5.0, 0.0, ["unchanged: does not run"])
