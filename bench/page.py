"""What a page of bench/results/ stands on: the commit it was made at; code, files and params behind its figures.

A bench writes its page with `write_page`, which leaves all of that in results/made/<page>.json. `make map` brings the
line under each heading up to date, and README shows no figure of a page whose code has changed since. Code is compared
by its syntax, as stages are: comments and docstrings make no page old. `python -m bench.page` says what has changed.
"""

import ast
import functools
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from pipeline.params import file_hashes, named_paths
from pipeline.runtime.fingerprint import CHECKS, PACKAGES, file_syntax_hash, imports, is_carrier, reach
from pipeline.runtime.params_file import check_params
from schemas.base import content_id
from vpo.graph import read_graph

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "bench/results"

Basis = dict[str, Any]
"""`commit`; `code`: file -> hash of its syntax; `files`: file -> SHA-256; `params`: key -> value"""
PARTS = ("code", "files", "params")


class Page(NamedTuple):
    """How the figures of a page are made."""

    bench: str
    """the module that writes it"""
    upto: str = ""
    """the stage up to which it runs the graph; "" where it runs no graph"""
    runs: tuple[str, ...] = ()
    """modules that it starts as processes"""
    files: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    """sections of params.yaml that it reads beside those of the graph"""
    backends: tuple[str, ...] = ()
    """backends that it runs beside those that params.yaml names"""
    carriers: bool = False
    """whether its figures are of what carries rows, answers and clips"""
    folders: tuple[str, ...] = ()
    """folders of which every module counts"""


PAGES = {
    "bill": Page("bench/bill.py", params=("teacher",), backends=("openai",), carriers=True),
    "checklist": Page("bench/checklist.py"),
    "choices": Page("bench/choices.py", upto="evaluate"),
    "curation": Page("bench/curation.py", params=("queries",)),
    "demo": Page("bench/demo.py", upto="evaluate"),
    "everyday": Page(
        "bench/everyday.py",
        runs=("bench/teacher_client.py", "pipeline/package.py", "pipeline/evaluate.py", "pipeline/d_video.py"),
        params=("reward", "evaluate", "package", "dpo"), backends=("openai",), carriers=True,
    ),
    "fanout": Page("bench/fanout.py", params=("render", "world"), carriers=True),
    "harmless": Page("bench/harmless.py", upto="evaluate"),
    "kills": Page("bench/kills.py", carriers=True),
    "real_queries": Page("bench/real.py", upto="evaluate"),
    "rendering": Page("bench/rendering.py", params=("render",), carriers=True),
    "rollout": Page("bench/rollout.py", params=("base_model",)),
    "soak": Page("bench/soak.py", carriers=True),
    "teacher": Page(
        "bench/teacher.py", runs=("pipeline/fewshot.py",), files=("pipeline/templates/fewshot.jinja",),
        params=("teacher", "fewshot"), backends=("openai",), carriers=True,
    ),
    "training": Page("bench/training.py", params=("base_model", "sft", "dpo.train")),
    "votes": Page("bench/votes.py", params=("critique", "refine", "dpo")),
    "wiring": Page("bench/wiring.py", carriers=True, folders=("schemas", "pipeline", "train", "vpo", "tests")),
    "world": Page("bench/world.py", upto="evaluate"),
}  # fmt: skip
"""name of a page in bench/results/ -> how its figures are made"""

WALKED = ("bench", "tests", *PACKAGES)
SEAMS = {"teacher": ("teacher", "judge"), "renderer": ("render",), "reward": ("reward.models",), "policy": ("policy",)}
"""folder of a seam in pipeline/backends/ -> the sections of params.yaml that name a backend of it"""


def read_basis(name: str, root: Path = ROOT) -> Basis:
    """Return the commit of `root` and what the figures of a page stand on there; a bench asks before it measures."""
    return {"commit": read_commit(root), **describe_basis(name, root)}


def describe_basis(name: str, root: Path = ROOT) -> Basis:
    """Return what the figures of a page stand on in the tree of `root`, without the commit."""
    page, tree = PAGES[name], _load_params(root)
    stages = []
    if page.upto:
        graph = read_graph(root)
        # the gate checks all of params.yaml and all code; what of it counts is what the others name
        names = [name for name in (*graph.before[page.upto], page.upto) if graph.stages[name].module != "params"]
        stages = [graph.stages[name] for name in names]
    modules = {page.bench, *page.runs, *(stage.code_file for stage in stages)}
    modules |= {path.relative_to(root).as_posix() for folder in page.folders for path in (root / folder).rglob("*.py")}
    keys = {*page.params, *(key for stage in stages for key in stage.params)}
    deps = {dep for stage in stages for dep in stage.deps if not dep.startswith("data/") and (root / dep).is_file()}
    named = [path for paths in named_paths(check_params(tree, "params.yaml")).values() for path in paths]
    chosen = {backend for sections in SEAMS.values() for section in sections for backend in _backends(tree, section)}
    code = reach(modules, functools.partial(_imported, root, page, frozenset({*chosen, *page.backends})))
    files = {*page.files, *deps, *(named if stages else [])}
    return {
        "code": {path: file_syntax_hash(root / path) for path in code},
        "files": {path: digest for path in sorted(files) for digest in file_hashes([str(root / path)]).values()},
        "params": {key: _value(tree, key) for key in sorted(keys)},
    }


def hash_code(basis: Basis) -> str:
    """Return a hash of the code, files and params of a basis: a bench keeps a finished run under it."""
    return content_id(*(basis[part] for part in PARTS))


def write_page(name: str, text: str, basis: Basis, root: Path = ROOT) -> Path:
    """Write bench/results/<name>.md and the basis it was made on; return its path.

    A bench that measures a part of its page alone hands in the basis that the page had before.
    """
    made = record_path(name, root)
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(json.dumps(basis, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    path = root / FOLDER / f"{name}.md"
    path.write_text(mark(text, state_line(basis["commit"], is_fresh(name, root))), encoding="utf-8")
    return path


def record_path(name: str, root: Path = ROOT) -> Path:
    """Return where lies what a page stands on."""
    return root / FOLDER / "made" / f"{name}.json"


def read_commit(root: Path) -> str:
    """Return the commit of a project in seven digits; "..., with changes" where its code is not that of the commit."""

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    changed = ask("status", "--porcelain", "--", *WALKED, "params.yaml", "dvc.yaml", f":!{FOLDER}")
    return ask("rev-parse", "--short=7", "HEAD") + (", with changes" if changed else "")


def list_changes(name: str, root: Path = ROOT) -> list[str]:
    """Return what has changed of all that a page stands on, a word each: a file, or a key of params.yaml."""
    record, now = read_record(name, root), describe_basis(name, root)
    return [
        key
        for part in PARTS
        for key in sorted({*now[part], *record[part]})
        if record[part].get(key, _ABSENT) != now[part].get(key, _ABSENT)
    ]


def read_record(name: str, root: Path = ROOT) -> Basis:
    """Return the basis that a page was made on."""
    record: Basis = json.loads(record_path(name, root).read_text(encoding="utf-8"))
    return record


def is_fresh(name: str, root: Path = ROOT) -> bool:
    """Return whether a page's figures are those of the code as it is."""
    return not list_changes(name, root)


def state_line(commit: str, fresh: bool) -> str:
    """Return the line that stands under a page's heading."""
    since = "" if fresh else "; the code behind its figures has changed since, so none of them is quoted elsewhere"
    return f"Made at commit `{commit}`{since}."


def mark(text: str, line: str) -> str:
    """Return a page with `line` under its heading, in place of an older one."""
    heading, _, rest = text.partition("\n")
    rest = re.sub(r"\A\s*Made at commit `[^`]*`[^\n]*\n", "", rest).strip("\n")
    return f"{heading}\n\n{line}\n\n{rest}\n"


def mark_pages(root: Path = ROOT) -> dict[str, str]:
    """Return path -> text of each page with the line that it should have now."""
    paths = {name: f"{FOLDER}/{name}.md" for name in PAGES if record_path(name, root).is_file()}
    lines = {name: state_line(read_record(name, root)["commit"], is_fresh(name, root)) for name in paths}
    return {path: mark((root / path).read_text(encoding="utf-8"), lines[name]) for name, path in paths.items()}


_ABSENT = object()


def _load_params(root: Path) -> dict[str, Any]:
    tree: dict[str, Any] = YAML(typ="safe").load((root / "params.yaml").read_text(encoding="utf-8"))
    return tree


def _value(tree: Mapping[str, Any], key: str) -> Any:
    value: Any = tree
    for word in key.split("."):
        value = value.get(word) if isinstance(value, Mapping) else None
    return value


def _backends(tree: Mapping[str, Any], section: str) -> Iterable[str]:
    found = _value(tree, section)
    models = [found] if "backend" in found else [*found.values()]
    return [model["backend"] for model in models]


def _imported(root: Path, page: Page, chosen: frozenset[str], path: str) -> list[str]:
    """Return what counts of a file's imports: no check of params, no carrier, no backend that is not run."""
    left_out = _idle_backends(root, path, chosen) if path.endswith("/__init__.py") else set()
    return [
        file
        for file in imports(root, path, WALKED)
        if file not in left_out
        and file != "bench/page.py"
        and not file.startswith(CHECKS)
        and (page.carriers or not is_carrier(file))
    ]


def _idle_backends(root: Path, path: str, chosen: frozenset[str]) -> set[str]:
    """Return the files that a seam's `__init__` imports for the backends of its dict that are not `chosen`."""
    module = ast.parse((root / path).read_text(encoding="utf-8"))
    files = {
        alias.asname or alias.name: f"{node.module.replace('.', '/')}.py"
        for node in module.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    used: dict[bool, set[str]] = {True: set(), False: set()}
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                words = {word.id for word in ast.walk(value) if isinstance(word, ast.Name)}
                if isinstance(key, ast.Constant):
                    used[key.value in chosen] |= {files[word] for word in words if word in files}
    return used[False] - used[True]


def main() -> None:
    """Say for each page at which commit it was made, and what has changed since."""
    for name in PAGES:
        if record_path(name).is_file():
            changes = list_changes(name)
            shown = f"{', '.join(changes[:6])}{f' and {len(changes) - 6} more' if len(changes) > 6 else ''}"
            print(f"{name}: made at {read_record(name)['commit']}; changed since: {shown or 'nothing'}")


if __name__ == "__main__":
    main()
