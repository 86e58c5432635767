from types import SimpleNamespace

import pytest

from pipeline.runtime.speeds import read_speeds
from tests.support import tiny_policy
from train.sft import sft
from train.throughput import SHAPES, describe_work, put_speed, record_throughput


def test_tokens_between_first_and_last_step_are_told_in_device_seconds(tmp_path, laptop):
    work = describe_work("sft", "owner/name", laptop.sft)
    put_speed(tmp_path, work, [(100.0, 1000), (110.0, 2000), (130.0, 4000)], 2, "H100")
    (speed,) = read_speeds(tmp_path, work)
    assert (speed.units, speed.seconds, speed.device) == (3000, 60.0, "H100")


def test_what_makes_a_token_slower_is_measured_apart_and_nothing_else(laptop):
    def work(**changes):
        return describe_work("sft", None, laptop.sft.model_copy(update=changes))

    assert work(bf16=True) != work() == work(learning_rate=1.0, num_train_epochs=9)


@pytest.mark.slow
def test_training_keeps_its_speed(tiny_model, tiny_params, tmp_path, vpo_home):
    sft(tiny_policy.d_sft(), tiny_model, tmp_path / "sft", tiny_params)
    (speed,) = read_speeds(vpo_home / "speeds", describe_work("sft", None, tiny_params.sft))
    assert speed.units > 100 and speed.device == "cpu"


@pytest.mark.parametrize("steps", [[(1.0, 10), (2.0, 10)], [(2.0, 10), (2.0, 20)], [(1.0, 10)]])
def test_without_time_or_tokens_between_two_steps_there_is_no_speed(tmp_path, laptop, steps):
    work = describe_work("sft", "owner/name", laptop.sft)
    put_speed(tmp_path, work, steps, 1, "H100")
    assert read_speeds(tmp_path, work) == []


@pytest.mark.parametrize("name", SHAPES)
def test_each_param_that_makes_a_token_slower_is_in_the_key(laptop, name):
    values = laptop.sft.model_dump(mode="json")
    other = SimpleNamespace(model_dump=lambda mode: values | {name: "another"})
    assert describe_work("sft", None, other) != describe_work("sft", None, laptop.sft)


def test_the_key_names_kind_stage_and_origin(laptop):
    assert describe_work("dpo", None, laptop.sft)[:4] == ("train", "dpo", "tiny", "")
    assert describe_work("sft", "owner/name", laptop.sft)[:4] == ("train", "sft", "owner/name", "")


@pytest.mark.slow
@pytest.mark.parametrize(("n", "first", "kept"), [(1, True, 0), (2, True, 1), (2, False, 0)])
def test_the_first_process_keeps_the_speed_of_two_steps_and_none_of_one(laptop, vpo_home, monkeypatch, n, first, kept):
    monkeypatch.setenv("WORLD_SIZE", "3")
    trainer, work = SimpleNamespace(add_callback=lambda one: clocks.append(one)), describe_work("sft", None, laptop.sft)
    clocks = []
    record_throughput(trainer, work)
    (clock,) = clocks
    for step in range(n):
        clock.on_log(None, None, None, {"loss": 1.0, "num_tokens": 100 * (step + 1)})
        clock.on_log(None, None, None, {"loss": 1.0})
        clock.on_log(None, None, None, {"num_tokens": 7})
        clock.on_log(None, None, None, None)
    clock.on_train_end(None, SimpleNamespace(is_world_process_zero=first), None)
    assert [speed.units for speed in read_speeds(vpo_home / "speeds", work)] == [100] * kept
