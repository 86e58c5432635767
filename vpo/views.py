"""Every artifact of a graph as a DuckDB view: its name, its files, its row class, and what the graph says of each file.

`critique@sft` is the view `critique_sft`, `critique_eval@<arm>` the view `critique_eval` with a column `arm`, and
`critique` all lanes together with a column `lane`; `<view>_dropped` is what was dropped. Views of a recipe's own graph
lie in a schema with its name: `prompt_a_video.d_dpo`.
"""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.base import Row
from schemas.stage import dropped_class, row_class
from vpo.graph import Graph
from vpo.unroll import Entry, Stage

TABLES = (".jsonl", ".parquet")


@dataclass(frozen=True)
class View:
    """Files of one row class under one name.

    `files` holds for each file the values of the columns that the graph adds to its rows (`added`), such as the arm
    where rows do not name theirs. `stage` and `lane` say where the rows are from.
    """

    name: str
    row: type[Row]
    files: Mapping[Path, Mapping[str, str]] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    stage: str = ""
    lane: str = ""

    def sql(self) -> str:
        """Return the query behind the view; types are the row class's, also where there is no file or row."""
        kinds = columns(self.row)
        if not self.files:
            everything = kinds | dict.fromkeys(self.added, "VARCHAR")
            nulls = ", ".join(f"null::{kind} as {quote(name)}" for name, kind in everything.items())
            return f"select {nulls} where false"
        parts = (self._select(path, kinds, values) for path, values in self.files.items())
        return " union all by name ".join(parts)

    def _select(self, path: Path, kinds: dict[str, str], values: Mapping[str, str]) -> str:
        if path.suffix == ".parquet":
            source = self._parquet(path, kinds)
        else:
            listed = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in kinds.items())
            source = f"read_json({_text(path)}, format = 'newline_delimited', columns = {{{listed}}})"
        chosen = [f"{quote(name)}::{kind} as {quote(name)}" for name, kind in kinds.items()]
        added = [f"{_text(values[name])} as {quote(name)}" for name in self.added]
        return f"select {', '.join([*chosen, *added])} from {source}"

    def _parquet(self, path: Path, kinds: dict[str, str]) -> str:
        """Return how to read a file; a column with a default may be younger than the file, and is then null."""
        fields = self.row.model_fields
        nulls = [
            f"null::{kind} as {quote(name)}"
            for name, kind in kinds.items()
            if name in fields and not fields[name].is_required()
        ]
        source = f"read_parquet({_text(path)})"
        return f"(from {source} union all by name select {', '.join(nulls)} where false)" if nulls else source


def views(root: Path, graph: Graph) -> Iterator[View]:
    """Yield the view of every artifact of a graph and of what was dropped; the files need not exist."""
    for entry in graph.entries.values():
        row = row_class(entry.module) if entry.package == "pipeline" and _writes_rows(entry) else None
        if row is None:
            continue
        for name, lane, stages in _group(entry):
            for kind, view, is_dropped in ((row, name, False), (dropped_class(row), f"{name}_dropped", True)):
                added = tuple(axis for axis in _list_added_axes(entry) if axis not in kind.model_fields)
                files = {
                    root / out: {axis: stage.columns.get(axis) or stage.arm for axis in added}
                    for stage in stages
                    for out in stage.outs
                    if out.endswith(TABLES) and Path(out).stem.endswith("_dropped") == is_dropped
                }
                present = {path: values for path, values in files.items() if is_present(path)}
                yield View(view, kind, present, added, f"{entry.module}_dropped" if is_dropped else entry.module, lane)


def _writes_rows(entry: Entry) -> bool:
    """Return whether its first out is a table: of the others no module of `schemas/` is loaded."""
    return entry.writes.endswith(TABLES)


def _group(entry: Entry) -> Iterator[tuple[str, str, list[Stage]]]:
    """Yield (view, lane, stages) of an entry."""
    if not entry.has_lanes:
        lane = entry.stages[0].lane if entry.stages else ""
        yield entry.name, lane, list(entry.stages)
        return
    for lane in dict.fromkeys(stage.lane for stage in entry.stages):
        stages = [stage for stage in entry.stages if stage.lane == lane]
        yield (f"{entry.name}_{lane}" if lane else entry.name), lane, stages


def _list_added_axes(entry: Entry) -> Iterator[str]:
    """Yield the columns that the axes of an entry stand for: a foreach over anything but lanes is over arms."""
    for axis in entry.axes:
        if axis == "key" and not entry.has_lanes:
            yield "arm"
        elif axis not in ("key", "lane"):
            yield axis


def unions(named: Iterable[View], schema: str) -> dict[str, str]:
    """Return the query of each bare stage name over its lanes, with a column `lane`; likewise for what was dropped."""
    named = list(named)
    taken = {view.name for view in named}
    parts: dict[str, list[str]] = {}
    for view in named:
        if view.lane and view.stage not in taken:
            select = f"select {_text(view.lane)} as lane, * from {quote(schema)}.{quote(view.name)}"
            parts.setdefault(view.stage, []).append(select)
    return {name: " union all by name ".join(selects) for name, selects in parts.items()}


def names_of(root: Path, graph: Graph) -> set[str]:
    """Return the names of all views of a graph, unions over lanes too."""
    named = list(views(root, graph))
    return {view.name for view in named} | {*unions(named, schema_of(graph))}


def schema_of(graph: Graph) -> str:
    """Return the DuckDB schema of a graph's views: main, or the recipe's name with underscores."""
    return graph.name.replace("-", "_") or "main"


def is_present(path: Path) -> bool:
    """Return whether a file exists and holds something: an empty JSONL file is a table without rows."""
    return path.is_file() and path.stat().st_size > 0


def columns(row: type[Row]) -> dict[str, str]:
    """Return column -> DuckDB type of a row class: what `pipeline.runtime.arrow` makes of it, without loading Arrow."""
    return {name: _duckdb(field.annotation) for name, field in row.model_fields.items()}


def _duckdb(annotation: Any) -> str:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return _duckdb(next(item for item in arguments if item is not type(None)))
    if typing.get_origin(annotation) is typing.Literal:
        return _duckdb(type(arguments[0]))
    if typing.get_origin(annotation) in (tuple, list):
        return f"{_duckdb(arguments[0])}[]"
    if issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return f"STRUCT({', '.join(f'{quote(name)} {_duckdb(field.annotation)}' for name, field in fields)})"
    if issubclass(annotation, Enum):
        return "VARCHAR"
    return {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}[annotation]


def quote(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
