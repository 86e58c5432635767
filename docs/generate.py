"""Writes what README, docs/ and bench/results/ repeat: `python -m docs.generate` (make map), or `--check`."""

import sys
from pathlib import Path

from bench.page import mark_pages
from docs.figures import readme_blocks
from docs.house import ROOMS, ROOT, arrows, fill_block, first_line, folder_of, modules, room_of

TOP = {
    "README.md": "what it is and how to run it",
    "CONTRIBUTING.md": "set-up, test tiers, how to add a stage, a backend, an arm, a recipe",
    "AGENTS.md": "the same on one page: commands, layout, rules",
    "CHANGELOG.md": "what has changed for those who use it",
    "SECURITY.md": "what is guarded, and how to report a hole",
    "CITATION.cff": "how to cite it and the two papers",
    "LICENSE": "Apache-2.0",
    "Makefile": "every command of the house; CI calls the same",
    "dvc.yaml": "the graph: each stage and every data path",
    "params.yaml": "every value, its source beside it",
    "pyproject.toml": "dependencies, extras, settings of ruff, mypy and pytest",
    "constraints.txt": "the whole set of libraries, pinned for every supported Python",
    "MANIFEST.in": "what an sdist holds beside the packages",
    ".pre-commit-config.yaml": "make lint before each commit, in the project's own environment",
}
"""The files at the top, in the order in which one reads them."""

FOLDERS = {
    "pipeline/templates": "the words that are sent to models, a Jinja file each",
    "recipes": "the papers' settings as overlays over params.yaml",
    "experiments": "what is newer than the papers; imports the rest, imported by nothing",
    "tests": "the same tree, file by file; helpers in tests/support/",
    "bench": "what is measured, and the results",
    "docs": "architecture.md, a page to each room, and what generates and builds them",
    "data/raw": "queries that people bring; everything else under data/ is made by the graph",
}
"""Folders that hold something else than modules that are installed."""

INNER = ("pipeline/llm/calls", "vpo/planning", "vpo/storage")
"""Rooms within a room."""


def file_map(root: Path = ROOT) -> str:
    """Return the tree as text: a line to each file at the top and to each room."""
    rooms = {folder_of(room): first_line(root / folder_of(room) / "__init__.py") for room in ROOMS}
    rooms |= {folder: first_line(root / folder / "__init__.py") for folder in INNER} | FOLDERS
    seams = sorted(path.parent for path in (root / "pipeline/backends").glob("*/__init__.py"))
    rooms |= {path.relative_to(root).as_posix(): first_line(path / "__init__.py") for path in seams}
    order = ["dvc.yaml", "params.yaml", "recipes", "schemas", "pipeline", "train", "vpo", "experiments", "tests"]
    order += ["docs", "bench", "data", *TOP]
    lines: dict[str, str] = {}
    for name in order:
        if name in TOP:
            lines[name] = TOP[name]
        for folder in sorted(folder for folder in rooms if folder.split("/")[0] == name):
            indent = "  " * folder.count("/") if name != "data" else ""
            shown = folder if name == "data" or "/" not in folder else folder.rsplit("/", 1)[1]
            lines[f"{indent}{shown}/"] = rooms[folder]
    width = max(map(len, lines)) + 2
    return "\n".join(["```", *(f"{name:<{width}}{text}" for name, text in lines.items()), "```"])


def room_table(root: Path = ROOT) -> str:
    """Return a Markdown table: each room, what it is about and the rooms that it imports."""
    imported = arrows(root)
    lines = ["| room | is about | imports |", "|---|---|---|"]
    for room in ROOMS:
        about = first_line(root / folder_of(room) / "__init__.py")
        names = ", ".join(other for other in ROOMS if other in imported[room]) or "nothing of ours"
        lines.append(f"| [{room}](rooms/{room}.md) | {about} | {names} |")
    return "\n".join(lines)


def module_table(room: str, root: Path = ROOT) -> str:
    """Return a Markdown table of a room's modules with the first line of each docstring, and its two ends of arrows."""
    imported = arrows(root)
    users = [other for other in ROOMS if room in imported[other]]
    lines = [
        f"Imports: {', '.join(other for other in ROOMS if other in imported[room]) or 'nothing of ours'}. "
        f"Imported by: {', '.join(users) or 'nothing'}.",
        "",
        "| module | is |",
        "|---|---|",
    ]
    for module in modules(root):
        if room_of(module) == room and (about := first_line(root / module)):
            lines.append(f"| [`{module}`](../../{module}) | {about.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def pages(root: Path = ROOT) -> dict[str, str]:
    """Return path -> text of each file with generated blocks, as it should be."""
    texts = {path: (root / path).read_text(encoding="utf-8") for path in ("README.md", "docs/architecture.md")}
    readme = fill_block(texts["README.md"], "map", file_map(root))
    for name, text in readme_blocks(root).items():
        readme = fill_block(readme, name, text)
    result = mark_pages(root) | {
        "README.md": readme,
        "docs/architecture.md": fill_block(texts["docs/architecture.md"], "rooms", room_table(root)),
    }
    for room in ROOMS:
        path = f"docs/rooms/{room}.md"
        result[path] = fill_block((root / path).read_text(encoding="utf-8"), "modules", module_table(room, root))
    return result


def main() -> None:
    """Write what differs; with --check say what differs and end with 1."""
    stale = [path for path, text in pages().items() if (ROOT / path).read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        print(f"stale: {', '.join(stale)}; run: make map" if stale else "every generated part is as the tree is")
        raise SystemExit(1 if stale else 0)
    for path, text in pages().items():
        (ROOT / path).write_text(text, encoding="utf-8")
    print(f"rewritten: {', '.join(stale) or 'nothing'}")


if __name__ == "__main__":
    main()
