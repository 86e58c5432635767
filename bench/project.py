"""A copy of the project that a bench runs: `dvc repro` with a store of its own, and what the run left."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def cpu_s() -> float:
    """Return the CPU seconds of all ended children of this process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def clone(path: Path) -> None:
    """Clone the project, as it is committed, to `path`."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(path)], check=True)


def copy_files(path: Path, root: Path = ROOT) -> None:
    """Copy what git lists, or would list, of the project at `root`, uncommitted changes too, to `path`."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if (root / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, path / name)


def repro(path: Path, home: Path, *stages: str) -> tuple[float, str]:
    """Run `dvc repro` in `path`, up to `stages` where some are named; return its CPU seconds and output.

    Ends the program with what DVC says when it fails.
    """
    spent, code, output = run_dvc(path, home, "repro", *stages)
    if code:
        sys.exit(output[-6000:])
    return spent, output


def run_dvc(path: Path, home: Path, *words: str) -> tuple[float, int, str]:
    """Run a command of DVC in `path` with the store `home`; return its CPU seconds, exit status and output."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VPO_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    before = cpu_s()
    done = subprocess.run(["dvc", *words], cwd=path, env=environment, capture_output=True, text=True)
    return cpu_s() - before, done.returncode, done.stdout + done.stderr


def hashes(path: Path) -> dict[str, str]:
    """Return path -> MD5 of everything that the last run wrote, as dvc.lock has it."""
    lock = load_yaml(path / "dvc.lock")
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", [])}


def load_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file as plain values."""
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def set_params(path: Path, values: dict[str, Any]) -> None:
    """Set keys of a project's params.yaml (`dpo.train.beta`), comments and order kept."""
    from ruamel.yaml import YAML

    yaml = YAML()
    tree = yaml.load((path / "params.yaml").read_text(encoding="utf-8"))
    for key, value in values.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[name] = value
    with (path / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def read_arms(path: Path) -> tuple[list, dict, Any]:
    """Return the test queries of a finished run, what each arm left for them, and the run's params."""
    from pipeline.evaluation.arms import read_arm
    from pipeline.runtime.io import read_rows
    from pipeline.runtime.params_file import load_params
    from schemas.queries import Query

    params = load_params(path / "params.yaml")
    queries = list(read_rows(path / "data/queries/test.jsonl", Query))
    return queries, {name: read_arm(path / "data/eval/test" / name, queries) for name in params.evaluate.arms}, params


def read_values(path: Path) -> tuple[dict, dict]:
    """Return arm -> metric -> query_id -> value of a finished run, and who judged each metric."""
    from pipeline.evaluation.arms import measure, name_judges

    queries, arms, params = read_arms(path)
    everyone = [row for arm in arms.values() for row in arm.rewards]
    values = {name: measure(queries, arm, params.reward, everyone) for name, arm in arms.items()}
    return values, name_judges(arms.values(), params.reward)
