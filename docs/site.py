"""Builds the docs site: `python -m docs.site [FOLDER]` (make docs) writes static pages into site/, without a network.

Pages: README, CONTRIBUTING and the like, docs/, bench/results/, every column of every row, every parameter with its
source, and the public classes and functions of each room. Modules are read, not imported, so that no extra is needed.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from docs.code import code_page
from docs.house import ROOMS, ROOT, room_of
from docs.tables import params_page, rows_page

TOP = ("README.md", "CONTRIBUTING.md", "AGENTS.md", "CHANGELOG.md", "SECURITY.md")
STYLE = """
body { margin: 0; display: flex; font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff }
nav { flex: 0 0 13rem; padding: 1rem; background: #f5f5f2; min-height: 100vh; font-size: 14px }
nav a { display: block } nav b { display: block; margin-top: 1em }
main { flex: 1; max-width: 60rem; padding: 1rem 2rem; overflow-x: auto }
a { color: #0b5394; text-decoration: none } a:hover { text-decoration: underline }
code, pre { font: 13px/1.45 ui-monospace, monospace; background: #f5f5f2 } pre { padding: .8em; overflow-x: auto }
table { border-collapse: collapse; font-size: 14px } img { max-width: 100% }
th, td { border: 1px solid #ddd; padding: .2em .5em; text-align: left; vertical-align: top }
h3 code { font-weight: 600; font-size: 14px }
"""


def markdown_files(root: Path = ROOT) -> list[str]:
    """Return the Markdown files that become pages, relative to `root`, in the order of the menu."""
    folders = (root / "docs", root / "docs/rooms", root / "bench", root / "bench/results", root / "experiments")
    inside = (path for folder in folders for path in sorted(folder.glob("*.md")))
    return [*TOP, *(path.relative_to(root).as_posix() for path in inside)]


def address(path: str) -> str:
    """Return where a file of the tree lies on the site: a page, a place on a code page, or the file itself."""
    if path == "README.md":
        return "index.html"
    if path.endswith(".md"):
        return path.removesuffix(".md") + ".html"
    if path.endswith(".py") and path.split("/")[0] in ("schemas", "pipeline", "train", "vpo"):
        return f"code/{room_of(path)}.html#{path}"
    return path


def render(text: str, page: str, root: Path = ROOT) -> tuple[str, list[str]]:
    """Return Markdown as HTML and the files of the tree that it shows or links to and that are no page.

    `page` is the file that the text comes from; its links are relative to it. Raises ValueError for one that leads
    nowhere.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(text)
    files = []
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following is not None:
            token.attrs["id"] = slug(following.content)
        for child in token.children or ():
            name = {"link_open": "href", "image": "src"}.get(child.type)
            link = str(child.attrs.get(name, "")) if name else ""
            if not name or re.match(r"[a-z]+:|#", link):
                continue
            path, _, place = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(page), path))
            if not (root / target).is_file():
                raise ValueError(f"{page}: the link to {link} leads nowhere")
            here = address(target)
            if here == target:
                files.append(target)
            child.attrs[name or ""] = relative(f"{here}#{place}" if place else here, address(page))
    return parser.renderer.render(tokens, parser.options, {}), files


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def relative(target: str, page: str) -> str:
    """Return the link from one page of the site to another address of it."""
    path, mark, place = target.partition("#")
    return os.path.relpath(path, os.path.dirname(page) or ".") + mark + place


def menu(page: str, files: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the menu as one page shows it."""
    inside = [(file.split("/"), address(file)) for file in files]
    groups = {
        "vpo": [(address(file), "home" if file == "README.md" else Path(file).stem.lower()) for file in TOP],
        "reference": [("rows.html", "rows"), ("params.html", "params")],
        "docs": [(target, Path(target).stem) for parts, target in inside if parts[0] == "docs" and len(parts) == 2],
        "rooms": [(target, Path(target).stem) for parts, target in inside if parts[:2] == ["docs", "rooms"]],
        "code": [(f"code/{room}.html", room) for room in ROOMS],
        "measured": [(target, Path(target).stem.lower()) for parts, target in inside if parts[0] == "bench"],
        "experiments": [(target, Path(target).stem.lower()) for parts, target in inside if parts[0] == "experiments"],
    }
    for group, entries in groups.items():
        yield f"<b>{group}</b>"
        for target, name in entries:
            yield f'<a href="{relative(target, page)}">{escape(name)}</a>'


def write_page(folder: Path, page: str, title: str, body: str, files: Sequence[str]) -> None:
    """Write one page of the site, the menu beside its body."""
    path = folder / page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - vpo</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body><nav>{chr(10).join(menu(page, files))}</nav>\n<main>{body}</main></body></html>\n",
        encoding="utf-8",
    )


def build(folder: Path, root: Path = ROOT) -> None:
    """Write the site into `folder`, which it replaces."""
    shutil.rmtree(folder, ignore_errors=True)
    files = markdown_files(root)
    for file in files:
        body, shown = render((root / file).read_text(encoding="utf-8"), file, root)
        write_page(folder, address(file), Path(file).stem, body, files)
        for other in shown:
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / other, folder / other)
    write_page(folder, "rows.html", "rows", rows_page(), files)
    write_page(folder, "params.html", "params", params_page((root / "params.yaml").read_text(encoding="utf-8")), files)
    for room in ROOMS:
        write_page(folder, f"code/{room}.html", f"code of {room}", code_page(room, root), files)


def main() -> None:
    """Build the site into the folder named, else into site/."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"
    build(folder)
    print(f"{sum(1 for _ in folder.rglob('*.html'))} pages: {folder / 'index.html'}")


if __name__ == "__main__":
    main()
