"""Going on after kill -9: equal weights, whatever was left behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.runtime.io import write_rows
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.params_train import LoraParams
from tests.support import tiny_policy
from tests.support.held import held
from tests.support.small_project import write_params
from train.checkpoints import (
    WHOLE,
    find_newest_whole,
    hash_weights,
    list_contents,
    make_run_key,
    sweep_abandoned,
    train_with_checkpoints,
)
from train.sft import make_sft_trainer
from train.trl_rows import FittingRows, to_sft_rows

# peft asks transformers by the old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ROOT = Path(__file__).resolve().parents[2]
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
LONG = {"max_steps": 14, "num_train_epochs": 20, "checkpoint_s": 0}


@pytest.fixture
def stage(tiny_model, tiny_params, tmp_path):
    """Give a function that starts a stage as a process of its own, with its own $VPO_HOME."""
    data = tmp_path / "data"
    write_rows(data / "d_sft.jsonl", tiny_policy.d_sft(), DSft)
    write_rows(data / "d_dpo.jsonl", tiny_policy.d_dpo(), DDpo)

    def start(name, home, to_be_killed=False, **train):
        sft = tiny_params.sft.model_dump(mode="json") | LONG | (train if name == "sft" else {})
        dpo = tiny_params.dpo.train.model_dump(mode="json") | LONG | (train if name == "dpo" else {})
        params = write_params(tmp_path, sft=sft, dpo={"train": dpo})
        out = tmp_path / home / "data/models" / name
        command = [sys.executable, "-m", "train", name, str(data / f"d_{name}.jsonl"), str(tiny_model), str(out)]
        environment = os.environ | {"VPO_HOME": str(tmp_path / home)}
        if to_be_killed:
            environment |= held(tmp_path / "held", out)
        process = subprocess.Popen(
            [*command, "--params", str(params)], cwd=ROOT, env=environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        return process, out

    return start


def kill_after(process, home: Path, steps: int) -> None:
    """kill -9 once the checkpoint of `steps` is whole."""
    while process.poll() is None:
        if any(
            int(path.parent.name.rpartition("-")[2]) >= steps for path in home.glob(f"train/*/checkpoint-*/{WHOLE}")
        ):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"


def finished(process) -> str:
    stderr = process.communicate()[1]
    assert process.returncode == 0, stderr[-3000:]
    return stderr


def curve(out):
    return (out.parents[2] / "results/models" / f"{out.name}_curve.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("sft", {}),
        ("sft", {"lora": LORA}),
        ("dpo", {"precompute_ref_log_probs": True}),
        ("dpo", {"precompute_ref_log_probs": False}),
        ("dpo", {"lora": LORA | {"lora_dropout": 0.0}, "held_out_share": 0.3}),
    ],
    ids=["sft", "sft-lora", "dpo-precomputed", "dpo", "dpo-lora"],
)
def test_a_run_killed_twice_ends_with_the_bytes_of_an_undisturbed_one(name, train, stage, tmp_path):
    process, undisturbed = stage(name, "whole", **train)
    assert "goes on from step" not in finished(process)
    for steps in (3, 8):
        process, out = stage(name, "killed", to_be_killed=True, **train)
        kill_after(process, tmp_path / "killed", steps)
        assert len(list((tmp_path / "killed").glob("train/*/checkpoint-*"))) <= 3  # two, and one being written
        assert not out.exists()
    process, out = stage(name, "killed", **train)
    step = int(re.search(r"goes on from step (\d+)", finished(process))[1])
    assert step >= 8
    assert tiny_policy.contents(out) == tiny_policy.contents(undisturbed)
    assert curve(out) == curve(undisturbed)
    one, other = (
        json.loads((path.parents[2] / f"results/models/{name}.json").read_text()) for path in (out, undisturbed)
    )
    assert one == other
    assert list((tmp_path / "killed/train").iterdir()) == []


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_only_the_steps_after_the_checkpoint_are_done_again(lora, tiny_params, tiny_model, tmp_path):
    from transformers import TrainerCallback

    values = {"max_steps": 5, "num_train_epochs": 9, "lora": LoraParams(**lora) if lora else None}
    params = tiny_policy.params(tiny_params, sft=values)
    rows = to_sft_rows(tiny_policy.d_sft(), tiny_policy.template(params))
    begun, states = [], []

    class Begun(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            begun.append(state.global_step)

    for _ in range(2):
        fit = FittingRows(rows, list(range(len(rows))), {}, 0)
        trainer = make_sft_trainer(fit, str(tiny_model), tmp_path, params)
        trainer.add_callback(Begun())
        train_with_checkpoints(trainer, tmp_path, "mine", 0)
        states.append({name: weight.clone() for name, weight in trainer.model.state_dict().items()})
    assert begun == [0, 1, 2, 3, 4, 4]
    assert all(states[0][name].equal(states[1][name]) for name in states[0])
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-4"}


@pytest.fixture
def work(tmp_path):
    """A run's folder with two whole checkpoints."""
    for step in (5, 10):
        folder = tmp_path / f"work/checkpoint-{step}"
        folder.mkdir(parents=True)
        for name in ("model.safetensors", "optimizer.pt"):
            (folder / name).write_bytes(bytes([step]) * 100)
        (folder / WHOLE).write_text(json.dumps({"key": "mine", "contents": list_contents(folder)}))
    return tmp_path / "work"


def test_the_newest_whole_checkpoint_is_gone_on_from(work, capsys):
    assert find_newest_whole(work, "mine").name == "checkpoint-10"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("size", [0, 99, 100])
def test_a_damaged_checkpoint_is_passed_over_with_a_line(work, capsys, size):
    (work / "checkpoint-10/optimizer.pt").write_bytes(b"?" * size)
    assert find_newest_whole(work, "mine").name == "checkpoint-5"
    assert "passes over checkpoint-10: its files are not those that were written" in capsys.readouterr().err


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over_with_a_line(work, capsys):
    (work / "checkpoint-10" / WHOLE).unlink()
    assert find_newest_whole(work, "mine").name == "checkpoint-5"
    assert "passes over checkpoint-10: it was not written to its end" in capsys.readouterr().err


def test_another_runs_checkpoint_is_passed_over_with_a_line(work, capsys):
    assert find_newest_whole(work, "other") is None
    assert capsys.readouterr().err.count("it is of another run") == 2


def test_the_key_changes_with_what_shapes_training_and_with_nothing_else(tiny_params, tiny_model, tmp_path):
    def key(rows=({"prompt": "a"},), model=tiny_model, seed=0, **train):
        params = tiny_params.sft.model_copy(update=train)
        return make_run_key("sft", list(rows), hash_weights(model), params, {"processes": 1}, seed=seed)

    other = shutil.copytree(tiny_model, tmp_path / "other")
    assert key(model=other) == key()
    (other / "tokenizer.json").write_text("{}")
    shaping = [key(rows=[]), key(seed=1), key(learning_rate=1.0), key(max_steps=3), key(model=other)]
    assert len({key(), *shaping}) == 6
    assert {key(launch="zero3"), key(checkpoint_s=None), key(report_to="wandb")} == {key()}
    assert hash_weights(tiny_model) != hash_weights(other)


def test_a_comment_leaves_the_key_of_a_killed_run_and_a_line_of_code_does_not(root, tiny_params, tiny_model, tmp_path):
    def key_with(name, file, old="", new=""):
        copy = tmp_path / name
        for package in ("schemas", "pipeline", "train"):
            shutil.copytree(root / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / file).read_text(encoding="utf-8")
        assert old in text
        (copy / file).write_text(text.replace(old, new, 1) + "# a remark\n", encoding="utf-8")
        return make_run_key("sft", [], hash_weights(tiny_model), tiny_params.sft, {"processes": 1}, 0, root=copy)

    before = make_run_key("sft", [], hash_weights(tiny_model), tiny_params.sft, {"processes": 1}, 0)
    assert key_with("comment", "train/trainer.py") == before
    assert key_with("docstring", "train/sft.py", "supervised fine-tuning", "fine-tuning") == before
    assert key_with("card", "pipeline/publishing/model_card.py", "It reads", "It takes") == before
    assert key_with("other stage", "train/dpo.py", "raise TooFewRows", "raise ValueError") == before
    assert key_with("line", "train/trainer.py", '"logging_steps": 1', '"logging_steps": 2') != before
    assert key_with("template", "pipeline/llm/template.py", "return", "return None or") != before


def test_what_nobody_came_back_to_for_two_weeks_is_removed(vpo_home, capsys):
    for name, age_s in (("mine", 30 * 86400), ("old", 15 * 86400), ("new", 86400)):
        (vpo_home / "train" / name).mkdir(parents=True)
        then = time.time() - age_s
        os.utime(vpo_home / "train" / name, (then, then))
    sweep_abandoned(vpo_home / "train/mine")
    assert {path.name for path in (vpo_home / "train").iterdir()} == {"mine", "new"}
    assert "left two weeks ago" in capsys.readouterr().err
