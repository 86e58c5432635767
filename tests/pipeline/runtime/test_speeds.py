import json
import time

import pytest

from pipeline.runtime.speeds import (
    Speed,
    Work,
    count_at_once,
    describe_work,
    keep_speed,
    measure_arrivals,
    name_device,
    name_device_of,
    read_speeds,
    speeds_folder,
    time_outcomes,
)
from schemas.reasons import Reason
from schemas.seams import Outcome
from tests.support.rows import BY

WORK = Work("render", "diffusers", "m", "r", "s")


def outcomes(n):
    return (Outcome(value=number) for number in range(n))


def test_the_clock_starts_behind_the_first_clip_and_with_it_the_loading():
    assert measure_arrivals(0.0, [60.0, 70.0, 80.0, 90.0], 1) == (3, 30.0, False)


def test_clips_of_a_batch_come_together_and_the_first_batch_is_left_out():
    arrivals = [100.0, 100.1, 100.2, 100.3, 140.0, 140.1, 140.2, 140.3, 150.3]
    assert measure_arrivals(0.0, arrivals, 4) == (5, pytest.approx(50.0), False)


def test_where_all_come_together_the_loading_is_in_it_and_that_is_said():
    assert measure_arrivals(10.0, [100.0, 101.0], 2) == (2, 91.0, True)
    assert measure_arrivals(10.0, [], 2) is None


def test_outcomes_pass_unchanged_and_those_with_a_value_are_counted(tmp_path):
    asked = [Outcome(value=1), Outcome(reason=Reason.RENDER_FAILED), Outcome(value=2), Outcome(value=3)]
    assert list(time_outcomes(iter(asked), WORK, tmp_path, device="cpu")) == asked
    (speed,) = read_speeds(tmp_path, WORK)
    assert (speed.units, speed.with_loading, speed.device) == (2, False, "cpu") and 0 < speed.seconds < 60


@pytest.mark.slow  # it asks torch for the GPU's name
def test_of_a_backend_on_a_gpu_the_name_of_the_device_is_kept(tmp_path):
    list(time_outcomes(outcomes(5), WORK, tmp_path))
    assert [speed.device for speed in read_speeds(tmp_path, WORK)] == [name_device()]


def test_the_first_clip_of_every_worker_is_left_out(tmp_path):
    list(time_outcomes(outcomes(5), WORK, tmp_path / "one", workers=1, device="cpu"))
    list(time_outcomes(outcomes(5), WORK, tmp_path / "two", workers=2, device="cpu"))
    (one,), (two,) = read_speeds(tmp_path / "one", WORK), read_speeds(tmp_path / "two", WORK)
    assert (one.units, two.units) == (4, 3)


def test_a_run_that_is_broken_off_keeps_what_it_measured(tmp_path):
    stream = time_outcomes(outcomes(9), WORK, tmp_path, device="cpu")
    for _ in range(5):
        next(stream)
    stream.close()
    assert read_speeds(tmp_path, WORK)[0].units == 4


def test_of_an_executor_whose_workers_nobody_counted_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VPO_EXECUTOR", "ray")
    list(time_outcomes(outcomes(5), WORK, tmp_path))
    assert read_speeds(tmp_path, WORK) == []


def test_a_folder_that_cannot_be_written_stops_no_stage(tmp_path):
    (tmp_path / "speeds").write_text("a file")
    assert len(list(time_outcomes(outcomes(5), WORK, tmp_path / "speeds", device="cpu"))) == 5


def test_nothing_that_came_makes_no_file(tmp_path):
    list(time_outcomes(iter([Outcome(reason=Reason.RENDER_FAILED)]), WORK, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_latest_run_counts_unless_it_says_less(tmp_path):
    for units, seconds, with_loading in ((10, 100.0, False), (2, 2.0, False), (10, 5.0, True)):
        keep_speed(tmp_path, WORK, Speed(units, seconds, with_loading, "H100"))
    assert read_speeds(tmp_path, WORK)[0].each == 10
    keep_speed(tmp_path, WORK, Speed(5, 40.0, False, "H100"))
    assert read_speeds(tmp_path, WORK)[0].each == 8


def test_each_device_model_and_setting_has_its_own(tmp_path):
    keep_speed(tmp_path, WORK, Speed(10, 100.0, False, "H100"))
    keep_speed(tmp_path, WORK, Speed(10, 200.0, False, "A100"))
    keep_speed(tmp_path, WORK._replace(settings="t"), Speed(10, 1.0, False, "H100"))
    assert sorted(speed.each for speed in read_speeds(tmp_path, WORK)) == [10, 20]
    assert describe_work("render", BY, {"steps": 50}) != describe_work("render", BY, {"steps": 25})


def test_a_file_keeps_when_it_was_measured_under_the_key_of_earlier_files(tmp_path):
    keep_speed(tmp_path, WORK, Speed(10, 100.0, False, "H100"))
    (path,) = tmp_path.iterdir()
    values = json.loads(path.read_text())
    assert values == WORK._asdict() | {
        "units": 10, "seconds": 100.0, "with_loading": False, "device": "H100", "at": values["at"],
    }  # fmt: skip
    path.write_text(json.dumps(values | {"at": "2026-01-01T00:00:00Z"}))
    assert read_speeds(tmp_path, WORK)[0].measured_at == "2026-01-01T00:00:00Z"


def test_the_newest_measurement_is_the_first(tmp_path):
    for device, day in (("B", "02"), ("A", "03"), ("C", "01")):
        keep_speed(tmp_path, WORK, Speed(10, 100.0, False, device))
        (path,) = (path for path in tmp_path.iterdir() if json.loads(path.read_text())["device"] == device)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"at": f"2026-01-{day}T00:00:00Z"}))
    assert [speed.device for speed in read_speeds(tmp_path, WORK)] == ["A", "B", "C"]


def test_a_damaged_file_is_passed_over(tmp_path):
    keep_speed(tmp_path, WORK, Speed(10, 100.0, False, "H100"))
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(json.dumps(WORK._asdict() | {"units": 0}))
    (tmp_path / "c.json").write_text("[]")
    assert len(read_speeds(tmp_path, WORK)) == 1


def test_a_backend_says_how_many_it_finishes_together():
    class Batches:
        at_once = 8

    assert (count_at_once(Batches()), count_at_once(object())) == (8, 1)


def test_the_seconds_of_several_workers_are_those_of_all_devices(tmp_path):
    def slow():
        for number in range(6):
            time.sleep(0.005)
            yield Outcome(value=number)

    list(time_outcomes(slow(), WORK, tmp_path, workers=3, device="cpu"))
    (speed,) = read_speeds(tmp_path, WORK)
    assert speed.units == 3 and speed.seconds > 3 * 3 * 0.005


def test_a_device_is_named_by_where_the_backend_works():
    assert [name_device_of(device) for device in ("cpu", "host")] == ["cpu", "host"]


def test_the_speeds_of_a_store_lie_beside_it(tmp_path):
    assert speeds_folder(tmp_path / "home/store") == tmp_path / "home/speeds"


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        ((3, 30.0, False), (2, 2.0, False), 10),
        ((2, 20.0, False), (2, 2.0, False), 1),
        ((2, 20.0, False), (9, 9.0, True), 10),
        ((9, 90.0, True), (1, 1.0, False), 1),
        ((9, 90.0, True), (3, 3.0, True), 1),
    ],
)
def test_a_speed_gives_way_to_one_that_says_as_much(tmp_path, before, now, kept):
    for units, seconds, with_loading in (before, now):
        keep_speed(tmp_path, WORK, Speed(units, seconds, with_loading, "H100"))
    assert [speed.each for speed in read_speeds(tmp_path, WORK)] == [kept]
