"""A copy of the project in a git repository of its own, on a tiny setting, for tests that run the graph."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bench.project import copy_files

ROOT = Path(__file__).resolve().parents[2]

TINY = {
    "base.stop_share": 1.0,  # a hardly trained policy ends many prompts at the length limit
    "world.queries": 420,
    "world.critic_recall": 0.1,  # most prompts of a hardly trained policy must reach the renderer
    "world.critic_recall_unsafe": 0.6,
    "queries.sft": 90,
    "queries.sft_safety": 20,
    "queries.dpo": 14,
    "queries.dpo_safety": 6,
    "queries.test": 12,
    "queries.test_safety": 6,
    "base_model.steps": 80,
    "base_model.batch_size": 8,
    "sft.max_steps": 120,
    "sft.global_batch_size": 8,
    "sft.learning_rate": 0.002,
    "rollout.max_new_tokens": 80,
    "optimize.max_new_tokens": 80,
    "dpo.reward_gap": 0.1,
    "dpo.pairs_per_query": None,  # twenty queries have few enough
    "dpo.train.global_batch_size": 4,
    "evaluate.bootstrap": 200,
}


def listed_params(stage: Mapping[str, Any]) -> list[str]:
    """Return the keys of params.yaml that a stage of dvc.yaml lists, those of its shared lists too."""
    lists = [item["params.yaml"] if isinstance(item, Mapping) else [item] for item in stage.get("params", [])]
    return [key for keys in lists for key in keys or ["params.yaml"]]


class Project:
    """A checkout at `path` with its own $VPO_HOME at `home`."""

    def __init__(self, path: Path, home: Path, params: dict | None = None):
        self.path, self.home = path, home
        copy_files(path)
        self.set(TINY if params is None else params)
        for command in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *command], cwd=path, check=True, capture_output=True)

    def set(self, values: dict) -> None:
        """Change single keys of params.yaml, keeping the rest."""
        yaml = YAML()
        tree = yaml.load((self.path / "params.yaml").read_text())
        for key, value in values.items():
            *sections, name = key.split(".")
            node = tree
            for section in sections:
                node = node[section]
            node[name] = value
        with (self.path / "params.yaml").open("w") as file:
            yaml.dump(tree, file)

    @property
    def environment(self) -> dict:
        bin_folder = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "VPO_HOME": str(self.home),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "DVC_NO_ANALYTICS": "1",
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@t",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@t",
        }

    def run(self, *command: str, check=True, **environment) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command, cwd=self.path, env=self.environment | environment, capture_output=True, text=True
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *command: str, **environment) -> subprocess.Popen:
        return subprocess.Popen(
            command, cwd=self.path, env=self.environment | environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def hashes(self) -> dict[str, str]:
        """Return path -> md5 of every output in dvc.lock."""
        lock = YAML(typ="safe").load((self.path / "dvc.lock").read_text())
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", [])}


def stage_processes(ancestor: int) -> list[int]:
    """Return the ids of the `python -m pipeline|train` processes below `ancestor`."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            commands[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue

    def below(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == ancestor:
                return True
        return False

    stages = (b"pipeline", b"train")
    return [
        pid
        for pid, words in commands.items()
        if b"-m" in words[:-1] and words[words.index(b"-m") + 1] in stages and below(pid)
    ]


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
