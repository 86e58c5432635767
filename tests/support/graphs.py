"""Graphs by hand."""

from typing import Any

from vpo.graph import Graph
from vpo.unroll import Unroller


def graph_of(file: str = "dvc.yaml", /, **stages: dict[str, Any]) -> Graph:
    """Return a graph of these entries of a dvc.yaml."""
    unroller = Unroller("", "", {})
    return Graph("", file, "params.yaml", {name: unroller.entry(name, entry) for name, entry in stages.items()})


GATE = {
    "cmd": "python -m pipeline params data/params.json data/code data/files",
    "outs": ["data/params.json", "data/code", "data/files"],
}
REFINE = {
    "cmd": "python -m pipeline refine data/a.jsonl data/b.jsonl",
    "deps": ["data/code/refine.json", "data/files/refine.json", "data/a.jsonl"],
}
CODE = {"schemas/base.py": "1", "pipeline/refine.py": "2"}
"""what the gate could write of refine"""
