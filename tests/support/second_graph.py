"""A second graph beside the root's: some of its stages once more under recipes/<name>, with data of their own."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

STAGES = ("params", "queries", "fewshot", "critique", "arm", "rollout_eval", "render_eval", "package")


def write_second_graph(root: Path, name: str, stages: Iterable[str] = STAGES, lanes: tuple[str, ...] = ("sft",)) -> str:
    """Write recipes/<name>/dvc.yaml and params.yaml with one arm, original; return the dvc.yaml's path from the root.

    Data lie under data/<name>, and foreach over lanes is cut to `lanes`.
    """
    yaml = YAML(typ="safe")
    tree = yaml.load((root / "dvc.yaml").read_text())
    params = yaml.load((root / "params.yaml").read_text())
    params["evaluate"]["arms"] = {"original": params["evaluate"]["arms"]["original"]}
    params["evaluate"]["versus"] = []
    folder = root / "recipes" / name
    folder.mkdir(parents=True)
    kept = {stage: moved(tree["stages"][stage], name, lanes) for stage in stages}
    graph = {"vars": tree.get("vars", []), "stages": kept}
    (folder / "dvc.yaml").write_text(json.dumps(graph, indent=2))
    (folder / "params.yaml").write_text(replaced(json.dumps(params, indent=2), name))
    return f"recipes/{name}/dvc.yaml"


def moved(stage: dict[str, Any], name: str, lanes: tuple[str, ...]) -> dict[str, Any]:
    stage = json.loads(replaced(json.dumps(stage), name))
    if isinstance(stage.get("foreach"), dict):
        stage["foreach"] = {key: item for key, item in stage["foreach"].items() if key in lanes}
    body = stage.get("do", stage)
    body["wdir"] = "../.."
    python, module, package, command, *words = body["cmd"].split()
    body["cmd"] = " ".join([python, module, package, command, "--params", f"recipes/{name}/params.yaml", *words])
    body["params"] = [
        {f"recipes/{name}/params.yaml": [item]}
        if isinstance(item, str)
        else {f"recipes/{name}/params.yaml": keys for keys in item.values()}
        for item in body["params"]
    ]
    return stage


def replaced(text: str, name: str) -> str:
    """Return a text with the data of the root's graph in the place of the second one's; data/raw is of both."""
    for folder in ("data/", "results/"):
        text = text.replace(folder, f"{folder}{name}/")
    return text.replace(f"data/{name}/raw", "data/raw")
