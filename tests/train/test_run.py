import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.runtime.io import DataError
from pipeline.runtime.locks import hold_lock
from schemas.params_train import SftParams
from train.run import arguments, batches, launch, launcher, require, save, setting, stop_after, work_folder


@pytest.fixture(scope="module")
def section(laptop):
    return lambda **values: laptop.sft.model_copy(update=values)


@pytest.mark.parametrize(
    "wanted, micro, processes, given",
    [(16, None, 1, (16, 1)), (64, 2, 8, (2, 4)), (16, 2, 8, (2, 1)), (64, None, 8, (8, 1)), (6, 3, 1, (3, 2))],
)
def test_the_product_is_exactly_the_global_batch(section, wanted, micro, processes, given):
    params = section(global_batch_size=wanted, per_device_train_batch_size=micro)
    assert batches(params, processes) == given
    assert processes * given[0] * given[1] == wanted


@pytest.mark.parametrize(
    "wanted, micro, processes, said",
    [
        (16, None, 3, "16 / 3 leaves 1; ask for 15 or 18"),
        (4, None, 8, "4 / 8 leaves 4; ask for 8$"),
        (16, 3, 1, "1 processes x per_device_train_batch_size 3 = 3, and 16 is no multiple"),
        (16, 4, 8, "8 processes x per_device_train_batch_size 4 = 32, and 16 is no multiple"),
    ],
)
def test_a_global_batch_that_cannot_be_had_is_refused_with_the_arithmetic(section, wanted, micro, processes, said):
    with pytest.raises(DataError, match=said):
        batches(section(global_batch_size=wanted, per_device_train_batch_size=micro), processes)


@pytest.mark.parametrize("chosen, gpus", [("single", 0), ("single", 8), ("auto", 0), ("auto", 1)])
def test_one_process_trains_in_place(section, chosen, gpus):
    assert launcher("train.sft", ["D", "B", "O"], section(launch=chosen), gpus) is None


def test_a_process_of_a_launch_goes_on_in_place(section, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert launch("no.such.module", [], section(launch="zero3")) is None


def test_several_gpus_become_zero_3_on_all_of_them(section, root):
    command = launcher("train.sft", ["D", "B", "O"], section(launch="auto", global_batch_size=64, bf16=True), 4)
    assert command[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    told = dict(zip(command[3:9:2], command[4:10:2], strict=True))
    assert told == {
        "--config_file": str(root / "train/configs/zero3.yaml"),
        "--num_processes": "4",
        "--mixed_precision": "bf16",
    }
    assert command[9:] == ["-m", "train.sft", "D", "B", "O"]


def test_the_file_says_how_many_processes_several_machines_have(section, root):
    command = launcher("train.dpo", [], section(launch="multi_node", global_batch_size=64), 8)
    assert "--num_processes" not in command and str(root / "train/configs/multi_node.yaml") in command


def test_a_batch_that_the_gpus_cannot_give_is_refused_before_the_launch(section):
    with pytest.raises(DataError, match="16 / 3 leaves 1"):
        launcher("train.sft", [], section(launch="zero3", global_batch_size=16), 3)


def test_zero_3_without_a_gpu_is_one_clear_error(section):
    with pytest.raises(DataError, match="this machine has none: set launch to single"):
        launcher("train.sft", [], section(launch="zero3_offload"), 0)


def test_a_missing_library_is_named_with_its_extra():
    require("train", "torch", "trl")
    with pytest.raises(DataError, match=r"training needs no_such_library: pip install 'vpo\[train\]'"):
        require("train", "torch", "no_such_library")


@pytest.mark.parametrize("tracker", ["trackio", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_one_clear_error(section, tmp_path, tracker):
    if importlib.util.find_spec(tracker):
        pytest.skip(f"{tracker} is installed")
    with pytest.raises(DataError, match=f"{tracker} is not installed: pip install {tracker}"):
        arguments(section(report_to=tracker), 0, tmp_path)


def test_rows_without_padding_are_never_cut(section):
    values = section().model_dump(mode="json")
    with pytest.raises(ValueError, match="padding_free cannot truncate: set long_rows to drop or refuse"):
        SftParams.model_validate(values | {"padding_free": True, "long_rows": "truncate"})
    assert SftParams.model_validate(values | {"padding_free": True, "long_rows": "refuse"}).padding_free


def test_a_param_says_whom_the_curve_is_told_to(section, tmp_path):
    assert arguments(section(), 0, tmp_path)["report_to"] == "none"


@pytest.mark.parametrize("name", ["single", "zero3", "zero3_offload", "multi_node"])
def test_accelerate_can_read_every_launch(root, name):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(root / f"train/configs/{name}.yaml"))
    assert config.deepspeed_config.get("zero_stage") == (None if name == "single" else 3)
    assert config.mixed_precision in (None, "no")  # the params say it, in the command


def test_a_launch_ends_with_the_process_that_started_it():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ended = threading.Event()
    stop_after(child.pid, 0.01, lambda code: ended.set())
    assert not ended.wait(0.1)
    child.communicate(b"\n")
    assert ended.wait(60)


# a process of a launch whose teardown aborts, and what a library leaves for the exit
TORN = """
import atexit, os, sys
from train import run
run.launch("train.sft", [], None)
atexit.register(print, "a tracker's last words")
class Torn:
    def __del__(self): os.abort()
run.torn = Torn()
"""


def ended(body: str) -> subprocess.CompletedProcess:
    launched = os.environ | {"LOCAL_RANK": "1"}
    return subprocess.run([sys.executable, "-c", TORN + body], env=launched, capture_output=True, text=True)


def test_a_process_of_a_launch_that_is_done_ends_before_a_teardown_that_aborts():
    assert ended("").returncode == -signal.SIGABRT
    done = ended("run.work_done.set(); print('done')")
    assert (done.returncode, done.stdout) == (0, "done\na tracker's last words\n")


def test_a_process_of_a_launch_that_failed_keeps_its_exit_code():
    assert ended("del Torn.__del__; sys.exit(3)").returncode == 3


def test_bfloat16_weights_are_for_zero_alone(section, tmp_path, monkeypatch):
    def dtype(**values):
        return arguments(section(**values), 0, tmp_path)["model_init_kwargs"]["dtype"]

    assert (dtype(bf16=False), dtype(bf16=True)) == ("float32", "float32")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert (dtype(bf16=False), dtype(bf16=True)) == ("float32", "bfloat16")


def test_a_run_under_zero_has_a_key_of_its_own(section, monkeypatch):
    plain = setting(section())
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert setting(section()) != plain


class Trained:
    """A trainer whose saving writes `files` and then may die."""

    def __init__(self, files, dies=False, main=True):
        self.files, self.dies, self.main = files, dies, main

    def save_model(self, folder):
        Path(folder).mkdir(parents=True)
        for name in self.files:
            if name.endswith("/"):
                (Path(folder) / name).mkdir()
            else:
                (Path(folder) / name).write_text(name)
        if self.dies:
            raise KeyboardInterrupt

    def is_world_process_zero(self):
        return self.main


WEIGHTS = ["model.safetensors", "config.json", "tokenizer.json"]


def test_a_model_folder_holds_no_pickle_and_no_state(tmp_path):
    strange = ["training_args.bin", "optimizer.pt", "trainer_state.json", "pytorch_model.bin", "README.md"]
    save(Trained(WEIGHTS + strange), tmp_path / "work", tmp_path / "sft", {"stage": "sft"}, {"steps": 1})
    assert {path.name for path in (tmp_path / "sft").iterdir()} == {*WEIGHTS, "model.json", "README.md"}
    assert "D_SFT" in (tmp_path / "sft/README.md").read_text()  # ours, not the trainer's


def test_a_save_that_dies_leaves_what_was_there(tmp_path):
    out = tmp_path / "data/models/sft"
    with pytest.raises(KeyboardInterrupt):
        save(Trained(WEIGHTS, dies=True), tmp_path / "1", out, {}, {})
    assert not out.exists()
    save(Trained(WEIGHTS), tmp_path / "2", out, {"at": 2}, {})
    with pytest.raises(IsADirectoryError):  # the copy fails when some files lie in the new folder already
        save(Trained([*WEIGHTS, "unreadable.safetensors/"]), tmp_path / "3", out, {"at": 3}, {})
    assert '"at": 2' in (out / "model.json").read_text()
    assert [path.name for path in out.parent.iterdir()] == ["sft"]


def test_what_a_killed_save_left_is_swept(tmp_path):
    stale = tmp_path / ".sft.99999.new.tmp"
    stale.mkdir()
    (stale / "model.safetensors").write_text("half")
    save(Trained(WEIGHTS), tmp_path / "work", tmp_path / "sft", {}, {})
    assert not stale.exists()


def test_only_the_main_process_writes(tmp_path, vpo_home, monkeypatch):
    save(Trained(WEIGHTS, main=False), tmp_path / "work", tmp_path / "sft", {}, {})
    assert not (tmp_path / "sft").exists()
    with work_folder("0f", tmp_path / "sft") as folder:
        (folder / "half").touch()
        monkeypatch.setenv("RANK", "1")
        with work_folder("0f", tmp_path / "sft") as same:  # it neither waits for the lock nor empties the folder
            assert same == folder and (folder / "half").exists()


def test_a_second_run_of_a_stage_is_refused_and_the_work_folder_goes(tmp_path, vpo_home):
    with work_folder("0f", tmp_path / "sft") as folder:
        assert list(folder.iterdir()) == []
        with pytest.raises(DataError, match="another run is writing it"), hold_lock(tmp_path / "sft"):
            pass
    assert not folder.exists()
