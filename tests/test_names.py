"""A name says what it holds: none of those that hold anything."""

import ast

import pytest

from docs.house import PACKAGES, ROOT, modules, tree_of

SAY_NOTHING = {"found", "told", "said", "seen", "asked", "known", "at"}


def bound_names(tree: ast.AST):
    """Yield (name, line) of all that a file names: variables, attributes, arguments, keywords, functions, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, 0


def poor_names(module: str) -> list[str]:
    return [f"{module}:{line}: {name}" for name, line in bound_names(tree_of(ROOT / module)) if name in SAY_NOTHING]


ROOMS = sorted({"/".join(module.split("/")[:-1][:2]) for module in modules()})


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_says_nothing(room):
    inside = [module for module in modules() if "/".join(module.split("/")[:-1][:2]) == room]
    poor = [line for module in inside for line in poor_names(module)]
    assert poor == [], f"{len(poor)} names"


def test_every_way_to_name_is_looked_at():
    text = """
def told(said, *, seen=1): self.asked = 2
for found in x: at = [known for known in y]
f(told=1)
import json as at
with open("x") as said: pass
if (known := 1): pass
"""
    names = [name for name, _ in bound_names(ast.parse(text)) if name in SAY_NOTHING]
    assert sorted(names) == sorted(
        ["told", "said", "seen", "asked", "found", "at", "known", "told", "at", "said", "known"]
    )


def test_all_packages_are_looked_at():
    assert {room.split("/")[0] for room in ROOMS} == {*PACKAGES}
