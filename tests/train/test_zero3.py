"""SFT and DPO in two real processes under ZeRO-3, on the CPU."""

import contextlib
import csv
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.runtime.io import write_rows
from pipeline.runtime.params_file import load_params
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from tests.support import tiny_policy
from tests.support.held import held
from tests.support.small_project import write_params
from train.curve import curve_path
from train.dpo import dpo
from train.model_folder import KEPT
from train.sft import sft

ROOT = Path(__file__).resolve().parents[2]
# TRL and peft ask transformers by the old name
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
# every step sees all ten rows, so that their order, which processes share out in another way, does not matter
STEPS = {
    "max_steps": 3,
    "num_train_epochs": 3,
    "global_batch_size": 10,
    "warmup_steps": 0,
    "lr_scheduler_type": "linear",
}
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj", "down_proj"]}
RUNS = {
    "sft": {"learning_rate": 1e-3, "checkpoint_s": 0},
    "sft_lora": {"learning_rate": 1e-2, "lora": LORA},
    "dpo": {"learning_rate": 1e-3, "precompute_ref_log_probs": False, "held_out_share": 0.2},
    "dpo_lora": {"learning_rate": 1e-2, "lora": LORA, "precompute_ref_log_probs": True, "checkpoint_s": 0},
    # bfloat16, checkpointing and the reference beforehand, as the recipes have them
    "dpo_bf16": {"learning_rate": 1e-4, "beta": 0.1, "bf16": True, "gradient_checkpointing": True},
}


@contextlib.contextmanager
def compiled():
    """Give the folder where DeepSpeed's extension stays from run to run: compiling it takes a minute.

    One session at a time: a lock in it is then what a killed run has left, for which all others would wait for ever.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vpo-tests" / "torch_extensions"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "session").open("w") as session:
        fcntl.flock(session, fcntl.LOCK_EX)
        for lock in cache.glob("*/lock"):
            lock.unlink()
        yield cache


def children(parent: int) -> list[int]:
    pids = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                pids.append(int(path.parent.name))
    return pids


def free_port() -> int:
    """Return a port below those that the kernel hands out, so that nobody gets it before the launcher listens."""
    for port in range(20000 + os.getpid() % 5000, 32000):
        with socket.socket() as held, contextlib.suppress(OSError):
            held.bind(("", port))
            return port
    raise RuntimeError("no free port between 20000 and 32000")


def changed(tiny_params, name):
    """Return the params of a run: section -> values."""
    values = STEPS | RUNS[name]
    if name.startswith("sft"):
        return {"sft": tiny_params.sft.model_dump(mode="json") | values}
    if "held_out_share" in values:  # six of the ten pairs
        values = values | {"global_batch_size": 6}
    return {"dpo": {"train": tiny_params.dpo.train.model_dump(mode="json") | values}}


@pytest.fixture(scope="module")
def launched(tiny_model, tiny_params, tmp_path_factory):
    """Give a function that trains in two processes, once for each name, and returns the model's folder."""
    data = tmp_path_factory.mktemp("zero3") / "data"
    write_rows(data / "d_sft.jsonl", tiny_policy.d_sft(), DSft)
    write_rows(data / "d_dpo.jsonl", tiny_policy.d_dpo(), DDpo)

    def start(name, folder, home, **more):
        given = write_params(data.parent, **changed(tiny_params, name))
        stage = name.partition("_")[0]
        precision = "bf16" if RUNS[name].get("bf16") else "no"
        command = [
            sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(ROOT / "train/configs/zero3.yaml"),
            "--num_processes", "2", "--mixed_precision", precision, "--main_process_port", str(free_port()),
            str(ROOT / "tests/support/zero3_shim.py"), f"train.{stage}",
            str(data / f"d_{stage}.jsonl"), str(tiny_model),
            str(folder / name), "--params", str(given),
        ]  # fmt: skip
        environment = os.environ | {
            "VPO_HOME": str(home),
            "TORCH_EXTENSIONS_DIR": str(extensions),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # ninja
            "OMP_NUM_THREADS": "1",
            **more,
        }
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(name, folder=data / "models", home=data.parent / "home"):
        if not (folder / name).exists():
            process = start(name, folder, home)
            stderr = process.communicate(timeout=1800)[1]
            assert process.returncode == 0, stderr[-4000:]
            run.stderr[folder / name] = stderr
        return folder / name

    run.start, run.stderr = start, {}
    with compiled() as extensions:
        yield run


@pytest.fixture
def alone(tiny_model, tiny_params, tmp_path, vpo_home):
    """Give a function that trains the same in this process."""

    def run(name):
        out = tmp_path / "data/models" / name
        given = load_params(write_params(tmp_path, **changed(tiny_params, name)))
        if name.startswith("sft"):
            sft(tiny_policy.d_sft(), tiny_model, out, given)
        else:
            dpo(tiny_policy.d_dpo(), tiny_model, out, given)
        return out

    return run


def metrics(out):
    return json.loads((out.parents[2] / "results/models" / f"{out.name}.json").read_text())


def losses(out):
    with curve_path(out).open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", ["sft", "sft_lora", "dpo", "dpo_lora"])
def test_two_processes_learn_what_one_does_from_the_same_global_batch(name, launched, alone, tiny_model):
    from safetensors.torch import load_file

    two, one = launched(name), alone(name)
    assert losses(two) == pytest.approx(losses(one), abs=1e-5) and len(losses(two)) == 3
    assert losses(two)[0] - losses(two)[-1] > 1e-3
    start, here, there = (load_file(folder / "model.safetensors") for folder in (tiny_model, one, two))
    assert here.keys() == there.keys() == start.keys()
    assert max((here[key] - start[key]).abs().max().item() for key in start) > 1e-3
    assert max((here[key] - there[key]).abs().max().item() for key in start) < 2e-4
    stage_metrics = metrics(two), metrics(one)
    if name.startswith("dpo"):
        sides = ["trained_on"] + ["held_out"] * bool(RUNS[name].get("held_out_share"))
        for side in sides:
            there, here = (item[side]["text"] for item in stage_metrics)
            assert there["pairs"] == here["pairs"] and there["margin"] == pytest.approx(here["margin"], abs=1e-4)


@pytest.mark.parametrize("name", RUNS)
def test_the_saved_model_is_whole_and_generates(name, launched):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = launched(name)
    assert all(any(path.match(pattern) for pattern in KEPT) for path in folder.iterdir())
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    assert not [path.name for path in folder.iterdir() if "adapter" in path.name]
    model, tokenizer = (kind.from_pretrained(folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    assert model.dtype == (torch.bfloat16 if RUNS[name].get("bf16") else torch.float32)
    assert model.num_parameters() > 50_000
    turns = [{"role": "user", "content": "a fox"}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False)
    assert written.shape[1] > ids.shape[1]


def test_the_reference_of_two_processes_is_the_sft_model(launched):
    stage_metrics = metrics(launched("dpo_bf16"))
    assert stage_metrics["steps"] == 3 and stage_metrics["units_done"] == 10
    assert stage_metrics["first_loss"] == pytest.approx(0.6931, abs=0.01)  # bfloat16


@pytest.mark.parametrize("name", ["sft", "dpo_lora"])
def test_two_processes_that_were_killed_go_on_to_the_same_weights(name, launched, tmp_path):
    home, folder = tmp_path / "home", tmp_path / "data/models"
    process = launched.start(name, folder, home, **held(tmp_path / "held", folder / name))
    while not list(home.glob("train/*/checkpoint-[12]/whole.json")):
        assert process.poll() is None, process.communicate()[1][-4000:]
        time.sleep(0.005)
    for pid in [process.pid, *children(process.pid)]:  # torch starts each in a session of its own
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / name).exists()
    again = launched(name, folder, home)
    assert "goes on from step" in launched.stderr[again]
    assert tiny_policy.contents(again) == tiny_policy.contents(launched(name))
    assert list((home / "train").iterdir()) == []
