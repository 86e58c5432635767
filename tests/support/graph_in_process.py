"""The graph's stages one after the other in this process, so that torch and numba are loaded once for many graphs."""

import importlib
import shlex
import warnings
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from vpo.graph import Graph, read_graph
from vpo.unroll import Stage, Unroller

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("pipeline", "schemas", "train")


def make_project(folder: Path, params: Mapping[str, Any]) -> Path:
    """Write a project into `folder` whose code is this tree's; return it."""
    (folder / "data/raw").mkdir(parents=True)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    change_params(folder, params)
    return folder


def change_params(folder: Path, values: Mapping[str, Any]) -> None:
    """Set single keys of a project's params.yaml."""
    yaml = YAML()
    tree = yaml.load((folder / "params.yaml").read_text())
    for key, value in values.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[name] = value
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(tree, file)


class Commands(Unroller):
    """Unrolls a dvc.yaml and notes the words of each stage's command."""

    def stage(self, entry: str, name: str, body: Mapping[str, Any], more: Mapping[str, Any], columns: Any) -> Stage:
        words = shlex.split(body["cmd"])
        WORDS[name] = [self.fill(word, {**self.values, **more}) for word in words][2:]
        return super().stage(entry, name, body, more, columns)


WORDS: dict[str, list[str]] = {}


def read_words(folder: Path) -> dict[str, list[str]]:
    """Return the words behind `python -m` of each stage."""
    yaml = YAML(typ="safe")
    values = yaml.load((folder / "params.yaml").read_text())
    WORDS.clear()
    for name, entry in yaml.load((folder / "dvc.yaml").read_text())["stages"].items():
        list(Commands("", "", values).unroll(name, entry))
    return dict(WORDS)


def list_behind(graph: Graph, sections: tuple[str, ...]) -> list[str]:
    """Return the stages that read one of these sections of params, and all behind them, in order; the gate first."""
    readers = {
        name for name, stage in graph.stages.items() if any(key.partition(".")[0] in sections for key in stage.params)
    }
    behind = [stage.name for stage in graph.ordered if stage.name in readers or graph.before[stage.name] & readers]
    return ["params", *(name for name in behind if name != "params")]


def run_stages(folder: Path, names: list[str] | None = None) -> None:
    """Run stages of a project, all where `names` is None. Raises what the first that fails raises."""
    with chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a process of its own: libraries warn of themselves
        words = read_words(folder)
        for name in names if names is not None else [stage.name for stage in read_graph(folder).ordered]:
            package, module, *arguments = words[name]
            command = importlib.import_module(f"{package}.{module}").main
            command.main(arguments, standalone_mode=False)
