"""SFT and DPO in two real processes under ZeRO-3, on the CPU."""

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_policy
from small_project import write_params

from pipeline.io import write_rows
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from train.run import KEPT
from train.sft import sft

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


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


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture(scope="module")
def launched(tiny_model, tiny_params, tmp_path_factory):
    """Give a function that runs a stage in two processes and returns its folder."""
    data = tmp_path_factory.mktemp("zero3") / "data"
    write_rows(data / "d_sft.jsonl", tiny_policy.d_sft(), DSft)
    write_rows(data / "d_dpo.jsonl", tiny_policy.d_dpo(), DDpo)
    # bfloat16 and checkpointing in one of the two, as the recipes have them
    as_in_recipes = {"bf16": True, "gradient_checkpointing": True}
    train = tiny_params.dpo.train.model_dump() | as_in_recipes
    given = write_params(data.parent, sft=tiny_params.sft.model_dump(), dpo={"train": train})

    def run(stage, rows, base, precision):
        out = data / "models" / stage
        command = [
            sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(ROOT / "train/configs/zero3.yaml"),
            "--num_processes", "2", "--mixed_precision", precision, "--main_process_port", str(free_port()),
            str(ROOT / "tests/train/zero3_shim.py"), f"train.{stage}", str(data / rows), str(base), str(out),
            "--params", str(given),
        ]  # fmt: skip
        environment = os.environ | {
            "VPO_HOME": str(data.parent / "home"),
            "TORCH_EXTENSIONS_DIR": str(extensions),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # ninja
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-4000:]
        return out

    with compiled() as extensions:
        yield run


@pytest.fixture(scope="module")
def models(launched, tiny_model):
    first = launched("sft", "d_sft.jsonl", tiny_model, "no")
    return {"sft": first, "dpo": launched("dpo", "d_dpo.jsonl", first, "bf16")}


def metrics(out):
    return json.loads((out.parents[2] / "results/models" / f"{out.name}.json").read_text())


def test_two_processes_learn_what_one_does_from_the_same_global_batch(
    models, tiny_model, tiny_params, tmp_path, vpo_home
):
    from safetensors.torch import load_file

    alone = tmp_path / "data/models/sft"
    sft(tiny_policy.d_sft(), tiny_model, alone, tiny_params)
    assert metrics(models["sft"])["steps"] == metrics(alone)["steps"] == 2
    assert metrics(models["sft"])["first_loss"] == pytest.approx(metrics(alone)["first_loss"], abs=1e-5)
    start, one, two = (load_file(folder / "model.safetensors") for folder in (tiny_model, alone, models["sft"]))
    assert max((one[name] - start[name]).abs().max().item() for name in start) > 9e-4
    assert max((one[name] - two[name]).abs().max().item() for name in start) < 2e-4


@pytest.mark.parametrize("stage, dtype", [("sft", "float32"), ("dpo", "bfloat16")])
def test_the_saved_model_is_whole_and_generates(models, stage, dtype):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = models[stage]
    assert all(any(path.match(pattern) for pattern in KEPT) for path in folder.iterdir())
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    model, tokenizer = (kind.from_pretrained(folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    assert model.dtype == getattr(torch, dtype) and model.num_parameters() > 50_000
    turns = [{"role": "user", "content": "a fox"}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False)
    assert written.shape[1] > ids.shape[1]


def test_the_reference_of_two_processes_is_the_sft_model(models):
    told = metrics(models["dpo"])
    assert told["steps"] == 2 and told["units_done"] == 10
    assert told["first_loss"] == pytest.approx(0.6931, abs=0.01)  # bfloat16
