"""The stages of a dvc.yaml one by one: foreach and matrix unrolled, `${...}` filled in, paths from the root."""

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")
BESIDE = "arm"
"""`<module>_arm`: the module once more for arms that are trained beside; they are in no lane"""


@dataclass(frozen=True)
class Stage:
    """A stage as DVC runs it: `critique@sft`.

    `package` and `module` are those of `python -m pipeline critique`, "" where the command is not one of ours. `paths`
    are the command's words with a slash, `options` its other words; `--params FILE` is neither, it is `params_file`.
    `params` are keys of that file, "FILE:key" where they are another's, "" for the whole file. `columns` is what
    foreach or matrix say of this one: {"key": "sft"}, {"suite": "test", "arm": "dpo"}.
    """

    name: str
    graph: str
    entry: str
    package: str
    module: str
    options: tuple[str, ...]
    paths: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    params_file: str = "params.yaml"
    desc: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def lane(self) -> str:
        """The lane: `sft` of critique@sft, `eval` of critique_eval@test-dpo; "" where there is none."""
        if self.entry == self.module:
            return self.columns.get("lane", self.columns.get("key", ""))
        suffix = self.entry.removeprefix(f"{self.module}_")
        return "" if suffix == BESIDE else suffix

    @property
    def arm(self) -> str:
        """The arm of a stage that runs once an arm, else ""."""
        named = self.columns.get("arm")
        return named or ("" if self.entry == self.module else self.columns.get("key", ""))

    @property
    def code_file(self) -> str:
        """The file of its module: pipeline/critique.py; "" where the command is not one of ours."""
        return f"{self.package}/{self.module}.py" if self.module else ""

    def word_after(self, option: str) -> str | None:
        """Return the value of an option: `word_after("--arm")`; None where the command has no such option."""
        behind = self.options[self.options.index(option) + 1 :] if option in self.options else ()
        return behind[0] if behind else None


@dataclass(frozen=True)
class Entry:
    """A stage as dvc.yaml writes it: its stages, and its first out with <key> where foreach puts one in."""

    name: str
    package: str
    module: str
    desc: str
    writes: str
    stages: tuple[Stage, ...]
    axes: tuple[str, ...] = ()
    """What foreach ("key") or matrix (its own names) run over; () for a single stage."""

    @property
    def has_lanes(self) -> bool:
        """Whether the axes stand for lanes of the module itself, and not for arms of one lane."""
        return bool(self.axes) and self.name == self.module

    @property
    def code_file(self) -> str:
        """The file of its module; "" where the command is not one of ours."""
        return f"{self.package}/{self.module}.py" if self.module else ""


@dataclass(frozen=True)
class Unroller:
    """Turns the entries of the dvc.yaml in `folder` into stages; `values` are what `${...}` is filled from."""

    graph: str
    folder: str
    values: Mapping[str, Any]

    def entry(self, name: str, written: Mapping[str, Any]) -> Entry:
        """Return an entry with its stages. Raises KeyError with a sentence where a `${...}` has no value."""
        body = written.get("do", written)
        package, module = _module(body["cmd"])
        stages = tuple(self.unroll(name, written))
        outs = [next(iter(out)) if isinstance(out, Mapping) else out for out in body.get("outs", [])]
        writes = re.sub(r"\$\{(?:item\.)?(\w+)\}", r"<\1>", outs[0]) if outs else ""
        axes = ("key",) if "foreach" in written else tuple(written.get("matrix", ()))
        desc = written.get("desc") or body.get("desc", "")
        return Entry(name, package, module, desc, self.place(body, self.values)(writes), stages, axes)

    def unroll(self, name: str, written: Mapping[str, Any]) -> Iterator[Stage]:
        if "foreach" in written:
            for key, item in _items(self.fill(written["foreach"], self.values)):
                more = {"key": key, "item": item}
                yield self.stage(name, f"{name}@{key}", written["do"], more, {"key": key})
        elif "matrix" in written:
            axes = {axis: [*self.fill(values, self.values)] for axis, values in written["matrix"].items()}
            for places in product(*(enumerate(values) for values in axes.values())):
                item = {axis: value for axis, (_, value) in zip(axes, places, strict=True)}
                named = {
                    axis: f"{axis}{number}" if isinstance(value, Mapping | list) else str(value)
                    for axis, (number, value) in zip(axes, places, strict=True)
                }
                key = "-".join(named.values())
                yield self.stage(name, f"{name}@{key}", written, {"key": key, "item": item}, named)
        else:
            yield self.stage(name, name, written, {}, {})

    def stage(
        self, entry: str, name: str, body: Mapping[str, Any], more: Mapping[str, Any], columns: Mapping[str, str]
    ) -> Stage:
        values = {**self.values, **more}
        place = self.place(body, values)
        words = [self.fill(word, values) for word in shlex.split(_command(body["cmd"]))]
        package, module = _module(body["cmd"])
        params_file = place("params.yaml")
        if "--params" in words:
            number = words.index("--params")
            params_file = place(words[number + 1])
            del words[number : number + 2]
        own = words[4:] if module else []
        listed = [place(self.fill(path, values)) for path, _ in _files(body.get("outs", []))]
        # what a stage counted stands among the outs: DVC shows what is named `metrics` in one table, all columns wide
        metrics = [place(self.fill(path, values)) for path, _ in _files(body.get("metrics", []))]
        uncached = {place(self.fill(path, values)) for path, how in _files(body.get("outs", [])) if not how}
        metrics += [
            path for path in listed if path.endswith(".json") and (path in uncached or "results" in path.split("/"))
        ]
        return Stage(
            name=name,
            graph=self.graph,
            entry=entry,
            package=package,
            module=module,
            options=tuple(word for word in own if "/" not in word),
            paths=tuple(place(word) for word in own if "/" in word),
            deps=tuple(place(dep) for path, _ in _files(body.get("deps", [])) if (dep := self.fill(path, values))),
            outs=tuple(path for path in listed if path not in metrics),
            metrics=tuple(metrics),
            plots=tuple(place(self.fill(path, values)) for path, _ in _files(body.get("plots", []))),
            params=tuple(self.keys(body.get("params", []), params_file, values, place)),
            params_file=params_file,
            desc=body.get("desc", ""),
            columns=columns,
        )

    def keys(
        self, listed: Iterable[Any], own: str, values: Mapping[str, Any], place: Callable[[str], str]
    ) -> Iterator[str]:
        for item in listed:
            if not isinstance(item, Mapping):
                yield self.fill(item, values)
                continue
            for file, keys in item.items():
                other = "" if place(self.fill(file, values)) == own else f"{place(self.fill(file, values))}:"
                yield from (f"{other}{self.fill(key, values)}" for key in keys or [""])

    def place(self, body: Mapping[str, Any], values: Mapping[str, Any]) -> Callable[[str], str]:
        """Return the function from a path as the stage writes it to the same path from the project's root."""
        folder = posixpath.join(self.folder, self.fill(body.get("wdir", "."), values))

        def from_root(path: str) -> str:
            return posixpath.normpath(posixpath.join(folder, path)) if path else path

        return from_root

    def fill(self, written: Any, values: Mapping[str, Any]) -> Any:
        """Return a text with its `${...}` filled in; a text that is nothing else gives the value itself."""
        if not isinstance(written, str):
            return written
        if whole := PLACEHOLDER.fullmatch(written):
            return _value(whole[1], values)
        return PLACEHOLDER.sub(lambda match: str(_value(match[1], values)), written)


def _module(command: Any) -> tuple[str, str]:
    """Return (package, module): "python -m train sft ..." -> ("train", "sft")."""
    match = re.match(r"python3? -m (pipeline|train) (\w+)", _command(command))
    return (match[1], match[2]) if match else ("", "")


def _command(written: Any) -> str:
    """Return the command of a stage; of a list of them the last, which makes what the stage is for."""
    return written if isinstance(written, str) else written[-1]


def _files(listed: Iterable[Any]) -> Iterator[tuple[str, bool]]:
    """Yield (path, whether DVC caches it)."""
    for item in listed:
        if isinstance(item, Mapping):
            (path, details), *_ = item.items()
            yield path, (details or {}).get("cache", True)
        else:
            yield item, True


def _items(values: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(values, Mapping):
        yield from ((str(key), item) for key, item in values.items())
    else:
        yield from (
            (str(number) if isinstance(item, Mapping | list) else str(item), item) for number, item in enumerate(values)
        )


def _value(key: str, values: Mapping[str, Any]) -> Any:
    value: Any = values
    for part in re.findall(r"[^.\[\]]+", key):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise KeyError(f"${{{key}}} has no value in the graph's params file") from None
    return value
