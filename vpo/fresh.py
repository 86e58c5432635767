"""Whether the files behind a query are those of the run that dvc.lock tells of."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vpo.graph import Graph, read_lock
from vpo.views import View

if TYPE_CHECKING:
    import duckdb

LARGEST = 64_000_000
"""bytes of a file that is hashed; of a larger one the size is compared alone, since a query shall answer at once"""


def tables_of(connection: "duckdb.DuckDBPyConnection", query: str) -> set[str]:
    """Return the names of the tables and views that a select reads, in lower case; none where it cannot be parsed."""
    import duckdb

    try:
        row = connection.execute("select json_serialize_sql($query)", {"query": query}).fetchone()
    except duckdb.Error:
        return set()
    return {name.lower() for name in _table_names(json.loads(row[0]))} if row else set()


def _table_names(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if tree.get("type") == "BASE_TABLE":
            schema = tree.get("schema_name")
            yield f"{schema}.{tree['table_name']}" if schema and schema != "main" else tree["table_name"]
        for item in tree.values():
            yield from _table_names(item)
    elif isinstance(tree, list):
        for item in tree:
            yield from _table_names(item)


def notes(root: Path, graph: Graph, read: Iterable[View]) -> Iterator[str]:
    """Yield one line for each view that is read whose files are not there, or are not those of dvc.lock."""
    outs = locked_outs(root, graph)
    for view in read:
        missing = [path for path in view.absent if not path.is_file()]
        if missing:
            state = "not whole" if view.files else "empty"
            yield f"{view.name} is {state}: {_name(root, missing)} {_are(missing)} not there; {_remedy(outs)}"
        there = [path for path in (*view.files, *view.absent) if path not in missing]
        others = [path for path in there if is_other(path, outs.get(path.relative_to(root).as_posix()))]
        if others:
            yield (
                f"{view.name}: {_name(root, others)} {_are(others)} not what {graph.lock} names; `dvc checkout` brings "
                "that, `dvc repro` makes it anew"
            )


def locked_outs(root: Path, graph: Graph) -> dict[str, Mapping[str, Any]]:
    """Return path -> what the lock says of each out: md5 and size."""
    stages = read_lock(root, graph).values()
    return {out["path"]: out for stage in stages for out in stage.get("outs", [])}


def is_other(path: Path, out: Mapping[str, Any] | None) -> bool:
    """Return whether a file is another than the lock names; False where no lock names it."""
    if out is None:
        return False
    size = path.stat().st_size
    if out.get("size", size) != size:
        return True
    if size > LARGEST or "md5" not in out:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() != out["md5"]


def _name(root: Path, paths: Iterable[Path]) -> str:
    first, *more = (path.relative_to(root).as_posix() for path in paths)
    return f"{first} and {len(more)} more" if more else first


def _are(paths: Iterable[Path]) -> str:
    return "is" if len([*paths]) == 1 else "are"


def _remedy(outs: Mapping[str, Any]) -> str:
    return "`dvc checkout` or `dvc repro` brings it" if outs else "`dvc repro` makes it"
