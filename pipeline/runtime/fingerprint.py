"""Hashes that say which code made a row: of our modules' syntax, blind to comments, docstrings and layout."""

import ast
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from schemas.base import content_id

PACKAGES = ("schemas", "pipeline", "train")
"""The packages that can shape a row."""
CARRIERS = ("pipeline/runtime/", "pipeline/llm/calls/", "pipeline/__main__.py", "train/__main__.py")
"""What carries rows and answers and makes none: left out of every stage's code, by place."""
CHECKS = ("schemas/params", "schemas/section.py", "schemas/needs.py", "schemas/backends.py", "schemas/stage.py")
"""The types of params: a value that shapes a result is a key that dvc.yaml lists."""
CARRIER_FILES = ("train/throughput.py",)


def syntax_hash(source: str) -> str:
    """Return 16 hex digits over what Python does in `source`; equal on every Python from 3.11 on.

    Comments, docstrings, layout and type comments do not count. `ast.dump` differs between Python versions (3.12 and
    3.13 add fields and drop empty ones), so the tree is walked: class names and set fields alone.
    """
    return _tree_hash(ast.parse(source))


def _tree_hash(tree: ast.Module) -> str:
    digest = hashlib.sha256()
    for word in _words(tree):
        digest.update(word.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _words(node: ast.AST) -> Iterator[str]:
    yield type(node).__name__
    for name in node._fields:
        value = getattr(node, name, None)
        if name == "body" and isinstance(value, list) and _has_docstring(node):
            value = value[1:]
        if value is None or value == [] or name in ("kind", "type_comment", "ctx"):
            continue
        yield f".{name}"
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _words(item)
            else:
                yield f"{type(item).__name__}:{item!r}"
    yield ";"


def _has_docstring(node: ast.AST) -> bool:
    if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or not node.body:
        return False
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def is_carrier(path: str) -> bool:
    """Return whether a file of ours (relative, with slashes) only carries rows or checks params."""
    return path.startswith((*CARRIERS, *CHECKS)) or path in CARRIER_FILES


def stage_modules(root: Path) -> list[str]:
    """Return the files of the stages, relative to `root`: at the top of pipeline/ and train/, with a command `main`.

    The files themselves say it, so that a graph's gate writes the same whichever of them its own dvc.yaml names.
    """
    paths = [path for package in ("pipeline", "train") for path in sorted((root / package).glob("[!_]*.py"))]
    return [path.relative_to(root).as_posix() for path in paths if _has_command(path)]


def _has_command(path: Path) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in _parse(path).body)


@functools.cache  # read once for its imports and once for its hash, for each of many stages
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules_of(root: Path, module: str) -> list[str]:
    """Return the files, relative to `root`, of `module` and of all of ours that it imports, carriers left out.

    `module` is a file such as pipeline/critique.py. Imports inside functions count; carriers are not followed.
    """
    return reach([module], lambda path: (file for file in imports(root, path) if not is_carrier(file)))


def reach(files: Iterable[str], imported: Callable[[str], Iterable[str]]) -> list[str]:
    """Return `files` and all that they import by way of others, sorted; `imported` names what one file imports."""
    reached: set[str] = set()
    waiting = [*files]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += imported(path)
    return sorted(reached)


@functools.cache
def imports(root: Path, path: str, packages: tuple[str, ...] = PACKAGES) -> tuple[str, ...]:
    """Return our files of `packages` that one file imports, in the order of its lines."""
    files: list[str] = []
    for node in ast.walk(_parse(root / path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        files += [file for name in names for file in _files_of(root, name, packages)]
    return tuple(dict.fromkeys(files))


def _files_of(root: Path, name: str, packages: tuple[str, ...]) -> list[str]:
    parts = name.split(".")
    if parts[0] not in packages:
        return []
    here = Path(*parts)
    if (root / here.with_suffix(".py")).is_file():
        return [str(here.with_suffix(".py"))]
    init = here / "__init__.py"
    return [str(init)] if len(parts) > 1 and (root / init).is_file() else []


@functools.cache
def file_syntax_hash(path: Path) -> str:
    """Return the syntax hash of a file."""
    return _tree_hash(_parse(path))


def code_of(root: Path, module: str) -> dict[str, str]:
    """Return file -> syntax hash for the code that shapes what `module` makes; what `data/code/<stage>.json` holds."""
    return {path: file_syntax_hash(root / path) for path in modules_of(root, module)}


def code_hash(code: Mapping[str, str]) -> str:
    """Return 16 hex digits over what `code_of` gives: one word for all of it."""
    return content_id(dict(code))


def source_hash(paths: Iterable[str | Path], **knobs: object) -> str:
    """Return the revision of an offline backend: the syntax hash of its own files, in order, and its knobs."""
    return content_id([file_syntax_hash(Path(path)) for path in paths], knobs)
