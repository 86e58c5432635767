"""The graphs of the project: every dvc.yaml read as DVC reads it, foreach and matrix unrolled, `${...}` filled in.

The root's dvc.yaml is one graph, each `recipes/<name>/dvc.yaml` another over the same modules. Nothing else of `vpo`
reads these files, and no path of the project's data is written anywhere in it. All paths are relative to the root.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from vpo.unroll import Entry, Stage, Unroller

recipe_option = click.option(
    "--recipe", metavar="NAME", default="", help="The graph of recipes/NAME/dvc.yaml; default: the root's dvc.yaml."
)


@dataclass(frozen=True)
class Graph:
    """One dvc.yaml; `name` is its recipe's, "" for the root's, and `params_file` the one that fills it in."""

    name: str
    file: str
    params_file: str
    entries: Mapping[str, Entry]

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """The stages by name, in the order of the file."""
        return {stage.name: stage for entry in self.entries.values() for stage in entry.stages}

    @cached_property
    def before(self) -> dict[str, set[str]]:
        """For each stage all that run before it because it reads, directly or not, what they write."""
        return ancestors(self.stages)

    @cached_property
    def ordered(self) -> list[Stage]:
        """The stages, each behind all that it waits for."""
        return sorted(self.stages.values(), key=lambda stage: len(self.before[stage.name]))

    def maker(self, path: str) -> Stage | None:
        """Return the stage that writes a path."""
        return next((stage for stage in self.stages.values() if path in stage.outs), None)

    def readers(self, path: str) -> list[Stage]:
        """Return the stages that name a path as a dep."""
        return [stage for stage in self.stages.values() if path in stage.deps]

    def upstream(self, path: str) -> Iterator[Stage]:
        """Yield the stage that writes a path, then those that write what it reads, and so on, the nearest first."""
        met: set[str] = set()
        level = [path]
        while level:
            makers = [maker for item in level if (maker := self.maker(item)) and maker.name not in met]
            level = []
            for maker in makers:
                if maker.name not in met:
                    met.add(maker.name)
                    yield maker
                    level += maker.deps

    @property
    def lock(self) -> str:
        """The dvc.lock beside the file."""
        return self.file.removesuffix(".yaml") + ".lock"

    def target(self, stage: str) -> str:
        """Return how `dvc repro` is told of a stage: by its name, behind the file where that is not the root's."""
        return f"{self.file}:{stage}" if self.name else stage

    def running(self, module: str, lane: str | None = None) -> list[Stage]:
        """Return the stages that run a module; with `lane` those of one lane alone."""
        stages = (stage for stage in self.stages.values() if stage.module == module)
        return [stage for stage in stages if lane is None or stage.lane == lane]

    def out_of(self, module: str) -> str:
        """Return what the stage that is named as its module writes first. Raises ClickException without one."""
        for stage in self.running(module):
            if stage.entry == module and stage.outs:
                return stage.outs[0]
        raise click.ClickException(f"{self.file}: no stage {module}")


def read_graphs(root: Path) -> dict[str, Graph]:
    """Return the graphs of a project by name: "" is the root's, the others are called as their recipes."""
    files = [root / "dvc.yaml", *sorted(root.glob("recipes/*/dvc.yaml"))]
    return {graph.name: graph for graph in (_read(root, file) for file in files if file.is_file())}


def read_graph(root: Path, recipe: str = "") -> Graph:
    """Return one graph. Raises ClickException with the names there are."""
    file = root / "recipes" / recipe / "dvc.yaml" if recipe else root / "dvc.yaml"
    if not file.is_file():
        names = [path.parent.name for path in sorted(root.glob("recipes/*/dvc.yaml"))]
        raise click.ClickException(f"no graph {recipe}: recipes with a dvc.yaml are {', '.join(names) or 'none'}")
    return _read(root, file)


def read_lock(root: Path, graph: Graph) -> dict[str, Any]:
    """Return the stages of the dvc.lock beside a graph by name: what their last run stood on; {} before any."""
    lock = root / graph.lock
    return (_load(lock) or {}).get("stages") or {} if lock.is_file() else {}


def ancestors(stages: Mapping[str, Stage]) -> dict[str, set[str]]:
    """Return for each stage all that run before it because it reads, directly or not, what they write."""
    collected: dict[str, set[str]] = {}

    def collect(name: str) -> set[str]:
        if name not in collected:
            makers = {other for other, stage in stages.items() if other != name and _feeds(stage, stages[name])}
            collected[name] = makers.union(*(collect(maker) for maker in makers))
        return collected[name]

    for name in stages:
        collect(name)
    return collected


def _feeds(maker: Stage, reader: Stage) -> bool:
    return any(
        out == dep or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")
        for out in (*maker.outs, *maker.metrics, *maker.plots)
        for dep in reader.deps
    )


def _read(root: Path, file: Path) -> Graph:
    folder = file.parent.relative_to(root).as_posix()
    folder = "" if folder == "." else folder
    tree = _load(file) or {}
    values = _values(root, folder, tree.get("vars", []))
    name = file.parent.name if folder else ""
    unroller = Unroller(name, folder, values)
    try:
        entries = {key: unroller.entry(key, entry) for key, entry in (tree.get("stages") or {}).items()}
    except KeyError as fault:
        raise click.ClickException(f"{posixpath.join(folder, 'dvc.yaml')}: {fault.args[0]}") from None
    return Graph(name, posixpath.join(folder, "dvc.yaml"), posixpath.join(folder, "params.yaml"), entries)


def _load(file: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except YAMLError as fault:
        raise click.ClickException(f"{file}: not YAML: {' '.join(str(fault).split())}") from None


def _values(root: Path, folder: str, more: Iterable[Any]) -> dict[str, Any]:
    """Return what `${...}` is filled from: the params.yaml beside the dvc.yaml, then the files and values of `vars`."""
    values: dict[str, Any] = {}
    if (root / folder / "params.yaml").is_file():
        values |= _load(root / folder / "params.yaml") or {}
    for item in more:
        if isinstance(item, Mapping):
            _merge(values, item)
            continue
        path, _, keys = item.partition(":")
        tree = _load(root / folder / path)
        _merge(values, {key: tree[key] for key in keys.split(",")} if keys else tree)
    return values


def _merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
