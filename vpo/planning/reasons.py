"""Why a stage would run: what DVC calls changed, with the values and the modules behind it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpo.graph import Graph
from vpo.planning.changes import code_files, read_json
from vpo.storage.garbage import cache
from vpo.unroll import Stage


@dataclass
class Reasons:
    """What has changed for one stage since its last run; all empty where nothing has."""

    stage: str
    code: list[str] = field(default_factory=list)
    """Modules whose hash differs, or that came or went."""
    params: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """key -> (value of the last run, value now)"""
    deps: dict[str, str] = field(default_factory=dict)
    """Files it reads -> modified, deleted, new."""
    outs: dict[str, str] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)
    """What else DVC says, such as a changed command."""

    def lines(self) -> Iterator[str]:
        """Yield a line a reason, as a person reads them."""
        yield from (f"code   {module}" for module in self.code)
        yield from (f"param  {key}: {show(old)} -> {show(new)}" for key, (old, new) in self.params.items())
        yield from (f"dep    {path}: {how}" for path, how in self.deps.items())
        yield from (f"out    {path}: {how}" for path, how in self.outs.items())
        yield from self.other


def find_reasons(root: Path, graph: Graph, stage: Stage, changes: list[Any], lock: Mapping[str, Any]) -> Reasons:
    """Return what `changes` of `dvc status` mean for a stage; `lock` is its part of dvc.lock, {} before a first run."""
    reasons = Reasons(stage.name)
    if not lock:
        reasons.other.append("it has not run yet")
        return reasons
    code = code_files(graph).get(stage.code_file)
    for change in changes:
        if not isinstance(change, Mapping):
            reasons.other.append(str(change))
            continue
        for path, how in change.get("changed deps", {}).items():
            if isinstance(how, Mapping):
                for key in how:
                    reasons.params[key] = values_of(root, path, key, lock)
            elif path == code:
                reasons.code += changed_modules(root, path, lock)
            else:
                reasons.deps[path] = how
        reasons.outs |= change.get("changed outs", {})
    return reasons


def changed_modules(root: Path, path: str, lock: Mapping[str, Any]) -> list[str]:
    """Return the modules whose hash differs between a file of data/code and the one that the last run stood on.

    The older file is taken from the DVC cache, by the md5 that dvc.lock names.
    """
    md5 = next((dep.get("md5", "") for dep in lock.get("deps", []) if dep["path"] == path), "")
    before = read_json(cache(root) / "files" / "md5" / md5[:2] / md5[2:])
    now = read_json(root / path)
    if before is None or now is None:
        return [f"{path}: which module is not known, its older version is not in the cache"]
    return sorted(module for module in {*before, *now} if before.get(module) != now.get(module))


def values_of(root: Path, file: str, key: str, lock: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a param's value in the last run and now; None where it was or is not there."""
    from ruamel.yaml import YAML

    value: Any = YAML(typ="safe").load((root / file).read_text(encoding="utf-8"))
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return lock.get("params", {}).get(file, {}).get(key), value


def show(value: Any) -> str:
    """Return a param's value in one short line."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
