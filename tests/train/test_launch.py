import os
import signal
import subprocess
import sys
import threading

import pytest

from pipeline.runtime.io import DataError
from train.launch import launch, launch_command, require, stop_after


@pytest.fixture(scope="module")
def section(laptop):
    return lambda **values: laptop.sft.model_copy(update=values)


@pytest.mark.parametrize("chosen, gpus", [("single", 0), ("single", 8), ("auto", 0), ("auto", 1)])
def test_one_process_trains_in_place(section, chosen, gpus):
    assert launch_command("train.sft", ["D", "B", "O"], section(launch=chosen), gpus) is None


def test_a_process_of_a_launch_goes_on_in_place(section, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert launch("no.such.module", [], section(launch="zero3")) is None


def test_several_gpus_become_zero_3_on_all_of_them(section, root):
    command = launch_command("train.sft", ["D", "B", "O"], section(launch="auto", global_batch_size=64, bf16=True), 4)
    assert command[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    options = dict(zip(command[3:9:2], command[4:10:2], strict=True))
    assert options == {
        "--config_file": str(root / "train/configs/zero3.yaml"),
        "--num_processes": "4",
        "--mixed_precision": "bf16",
    }
    assert command[9:] == ["-m", "train.sft", "D", "B", "O"]


def test_the_file_says_how_many_processes_several_machines_have(section, root):
    command = launch_command("train.dpo", [], section(launch="multi_node", global_batch_size=64), 8)
    assert "--num_processes" not in command and str(root / "train/configs/multi_node.yaml") in command


def test_a_batch_that_the_gpus_cannot_give_is_refused_before_the_launch(section):
    with pytest.raises(DataError, match="16 / 3 leaves 1"):
        launch_command("train.sft", [], section(launch="zero3", global_batch_size=16), 3)


def test_zero_3_without_a_gpu_is_one_clear_error(section):
    with pytest.raises(DataError, match="this machine has none: set launch to single"):
        launch_command("train.sft", [], section(launch="zero3_offload"), 0)


def test_a_missing_library_is_named_with_its_extra():
    require("train", "torch", "trl")
    with pytest.raises(DataError, match=r"training needs no_such_library: pip install -e '.\[train\]'"):
        require("train", "torch", "no_such_library")


@pytest.mark.slow
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
from train import launch
launch.launch("train.sft", [], None)
atexit.register(print, "a tracker's last words")
class Torn:
    def __del__(self): os.abort()
launch.torn = Torn()
"""


def ended(body: str) -> subprocess.CompletedProcess:
    launched = os.environ | {"LOCAL_RANK": "1"}
    return subprocess.run([sys.executable, "-c", TORN + body], env=launched, capture_output=True, text=True)


@pytest.mark.slow
def test_a_process_of_a_launch_that_is_done_ends_before_a_teardown_that_aborts():
    assert ended("").returncode == -signal.SIGABRT
    done = ended("launch.work_done.set(); print('done')")
    assert (done.returncode, done.stdout) == (0, "done\na tracker's last words\n")


@pytest.mark.slow
def test_a_process_of_a_launch_that_failed_keeps_its_exit_code():
    assert ended("del Torn.__del__; sys.exit(3)").returncode == 3
