"""What the tree says of itself: its rooms, the first line of each docstring, and who imports whom."""

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("schemas", "pipeline", "train", "vpo")
"""The packages that are installed."""
STAGES = "stages"
"""The room of the modules at the top of pipeline/."""

ROOMS = (
    "schemas", "runtime", "text", "llm", "video", "scoring", "world", "curation", "publishing", "evaluation",
    "backends", STAGES, "train", "vpo",
)  # fmt: skip
"""The rooms from the ground up: each imports only rooms that stand before it."""


def modules(root: Path = ROOT) -> list[str]:
    """Return the files of the installed packages, relative to `root`, sorted."""
    paths = (path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return sorted(path.relative_to(root).as_posix() for path in paths)


def room_of(module: str) -> str:
    """Return the room that a file lies in: pipeline/llm/calls/engine.py -> llm, pipeline/refine.py -> stages."""
    parts = module.split("/")
    if parts[0] != "pipeline":
        return parts[0]
    return parts[1] if len(parts) > 2 else STAGES


def folder_of(room: str) -> str:
    """Return the folder of a room: llm -> pipeline/llm, stages -> pipeline, vpo -> vpo."""
    return "pipeline" if room == STAGES else room if room in PACKAGES else f"pipeline/{room}"


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def first_line(path: Path) -> str:
    """Return the first paragraph of a module's docstring as one line; "" where it has none."""
    return " ".join((ast.get_docstring(tree_of(path)) or "").split("\n\n")[0].split())


@functools.cache
def imported_names(path: Path) -> set[str]:
    """Return the dotted names that a file imports, also inside functions: of `from a import b` both a and a.b."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported_files(module: str, root: Path = ROOT) -> set[str]:
    """Return the files of the installed packages, relative to `root`, that one of them imports."""
    files = set()
    for name in imported_names(root / module):
        path = name.replace(".", "/")
        if path.split("/")[0] in PACKAGES:
            files |= {file for file in (f"{path}.py", f"{path}/__init__.py") if (root / file).is_file()}
    return files


@functools.cache
def arrows(root: Path = ROOT) -> dict[str, set[str]]:
    """Return room -> the other rooms that its modules import."""
    result: dict[str, set[str]] = {}
    for module in modules(root):
        imported = {room_of(file) for file in imported_files(module, root)}
        result.setdefault(room_of(module), set()).update(imported - {room_of(module)})
    return result


def read_blocks(text: str) -> dict[str, str]:
    """Return name -> text of the generated blocks: what stands between `<!-- NAME: ... -->` and `<!-- /NAME -->`."""
    return {name: body for name, body in re.findall(r"<!-- (\w+):[^>]*-->\n(.*?)\n?<!-- /\1 -->", text, re.DOTALL)}


def fill_block(text: str, name: str, body: str) -> str:
    """Return `text` with `body` between the marks of the generated block `name`."""
    pattern = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    filled, times = pattern.subn(lambda match: f"{match[1]}{body}\n{match[2]}", text)
    if times != 1:
        raise ValueError(f"the marks of block {name} stand {times} times, not once")
    return filled
