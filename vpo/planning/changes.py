"""What DVC would run, and why: asked of DVC itself, once the gate's view of the code is up to date."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.runtime.fingerprint import code_of
from pipeline.runtime.io import write_json
from vpo.graph import Graph


def refresh_code(root: Path, graph: Graph) -> list[str]:
    """Write what the gate stage would write of each module's code, where it differs; return the files.

    DVC sees code only through these files. They are written here and not by `dvc repro params`, because a plan must
    not wait for the lock of a run that goes on, nor change dvc.lock.
    """
    written = []
    for module, path in code_files(graph).items():
        code = code_of(root, module)
        if read_json(root / path) != code:
            write_json(root / path, code)
            written.append(path)
    return written


def code_files(graph: Graph) -> dict[str, str]:
    """Return the file of each module -> the dep that holds its hashes: pipeline/refine.py -> data/code/refine.json.

    They lie in the folder `code` among the gate's outs; other folders of its tell of other files.
    """
    folders = [out for stage in graph.running("params") for out in stage.outs if Path(out).name == "code"]
    return {
        stage.code_file: dep
        for stage in graph.stages.values()
        for dep in stage.deps
        if dep in [f"{folder}/{stage.module}.json" for folder in folders]
    }


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, None where there is none to read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_status(root: Path, graph: Graph) -> dict[str, list[Any]] | None:
    """Return what `dvc status` says of a graph by the stage's name; None where it cannot say."""
    if not (root / ".dvc").is_dir():
        return None
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json", graph.file],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        status = json.loads(done.stdout)
    except ValueError:
        return None
    return {name.removeprefix(f"{graph.file}:"): changes for name, changes in status.items()}
