"""The stages of dvc.yaml one by one: foreach unrolled, paths filled in, and who comes before whom."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

FILLED = re.compile(r"\$\{([^}]+)\}")


@dataclass(frozen=True)
class Stage:
    """A stage as DVC runs it; `module` is its name in `python -m pipeline`, `paths` are the command's own."""

    name: str
    module: str
    options: tuple[str, ...]
    paths: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]


def unrolled(root: Path) -> dict[str, Stage]:
    """Return the stages of `root` by name (`critique@sft`), in the order of dvc.yaml."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    graph = yaml.load((root / "dvc.yaml").read_text(encoding="utf-8"))
    params = yaml.load((root / "params.yaml").read_text(encoding="utf-8"))
    found = (stage for name, entry in graph["stages"].items() for stage in _unrolled(name, entry, params))
    return {stage.name: stage for stage in found}


def _unrolled(name: str, entry: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Stage]:
    if "matrix" in entry:
        axes = {name: _value(FILLED.fullmatch(items)[1], params) for name, items in entry["matrix"].items()}
        for combination in product(*axes.values()):
            item = dict(zip(axes, combination, strict=True))
            key = "-".join(combination)
            yield _stage(f"{name}@{key}", entry, {**params, "key": key, "item": item})
        return
    if "foreach" not in entry:
        yield _stage(name, entry, params)
        return
    items = entry["foreach"]
    if isinstance(items, str):
        items = _value(FILLED.fullmatch(items)[1], params)
    pairs = items.items() if isinstance(items, Mapping) else [(item, item) for item in items]
    for key, item in pairs:
        yield _stage(f"{name}@{key}", entry["do"], {**params, "key": key, "item": item})


def _stage(name: str, entry: Mapping[str, Any], values: Mapping[str, Any]) -> Stage:
    words = [_filled(word, values) for word in shlex.split(entry["cmd"])]
    options = tuple(word for word in words[4:] if "/" not in word)
    paths = tuple(word for word in words[4:] if "/" in word)
    outs = [*entry.get("outs", []), *entry.get("metrics", []), *entry.get("plots", [])]
    return Stage(name, words[3], options, paths, _paths(entry.get("deps", []), values), _paths(outs, values))


def _paths(listed, values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_filled(next(iter(item)) if isinstance(item, Mapping) else item, values) for item in listed)


def _filled(text: str, values: Mapping[str, Any]) -> str:
    return FILLED.sub(lambda found: str(_value(found[1], values)), text)


def _value(key: str, values: Mapping[str, Any]) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found[part]
    return found


def ancestors(stages: Mapping[str, Stage]) -> dict[str, set[str]]:
    """Return for each stage all that run before it because it reads, directly or not, what they write."""
    found: dict[str, set[str]] = {}

    def of(name: str) -> set[str]:
        if name not in found:
            makers = {other for other, stage in stages.items() if other != name and _feeds(stage, stages[name])}
            found[name] = makers.union(*(of(maker) for maker in makers))
        return found[name]

    for name in stages:
        of(name)
    return found


def _feeds(maker: Stage, reader: Stage) -> bool:
    return any(
        out == dep or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")
        for out in maker.outs
        for dep in reader.deps
    )
