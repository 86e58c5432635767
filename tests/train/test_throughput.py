import pytest

from pipeline.runtime.speeds import read_speeds
from tests.support import tiny_policy
from train.sft import sft
from train.throughput import describe_work, put_speed


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
