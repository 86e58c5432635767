"""HTML of the public classes and functions of every module, read from the source: signature and docstring."""

import ast
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from docs.house import modules, room_of, tree_of

Function = ast.FunctionDef | ast.AsyncFunctionDef


def paragraphs(text: str) -> str:
    """Return a docstring as HTML: paragraphs, indented blocks as they are, and `code`."""
    parts = []
    for part in re.split(r"\n\s*\n", text.strip()):
        if part.startswith("    "):
            parts.append(f"<pre>{escape(part)}</pre>")
        else:
            parts.append("<p>" + re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(part.split()))) + "</p>")
    return "".join(parts)


def signature(node: Function) -> str:
    """Return a function's name, arguments and result as its source has them."""
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){result}"


def public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Yield the functions and classes of a body whose names do not begin with an underscore."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def section(node: Function | ast.ClassDef) -> str:
    """Return a function, or a class with its methods and annotated fields."""
    about = paragraphs(ast.get_docstring(node) or "")
    if not isinstance(node, ast.ClassDef):
        return f"<h3><code>{escape(signature(node))}</code></h3>{about}"
    bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
    fields = [
        f"{ast.unparse(one.target)}: {ast.unparse(one.annotation)}"
        for one in node.body
        if isinstance(one, ast.AnnAssign)
    ]
    shown = f"<pre>{escape(chr(10).join(fields))}</pre>" if fields else ""
    methods = "".join(section(one) for one in public(node.body))
    return f"<h3><code>class {escape(node.name + bases)}</code></h3>{about}{shown}{methods}"


def module_section(module: str, path: Path) -> str:
    """Return a module: its name as an anchor, its docstring, its public classes and functions."""
    tree = tree_of(path)
    inner = "".join(section(node) for node in public(tree.body))
    return f'<h2 id="{module}">{module}</h2>{paragraphs(ast.get_docstring(tree) or "")}{inner}'


def code_page(room: str, root: Path) -> str:
    """Return the page of a room's modules."""
    inside = [module for module in modules(root) if room_of(module) == room]
    return f"<h1>{room}</h1>" + "\n".join(module_section(module, root / module) for module in inside)
