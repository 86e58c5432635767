"""`vpo deps`: the code each stage depends on, from the import graph."""

import ast
import functools
import re
from pathlib import Path

import click

from vpo.project import find_project

OURS = ("schemas", "pipeline", "train")
# they carry rows, check params and look at the clock, they do not make rows: a change in them re-runs nothing
LEFT_OUT = {
    "pipeline/__main__.py",
    "pipeline/runtime/io.py",
    "pipeline/runtime/fanout.py",
    "pipeline/runtime/params_file.py",
    "schemas/params.py",
    "schemas/params_train.py",
    "schemas/params_policy.py",
    "schemas/params_render.py",
    "schemas/params_reward.py",
    "schemas/params_teacher.py",
    "schemas/needs.py",
    "schemas/backends.py",
    "schemas/section.py",
    "pipeline/runtime/progress.py",
    "pipeline/runtime/speeds.py",
    "train/throughput.py",
}
COMMAND = re.compile(r"^python -m (pipeline|train) (\w+)")


def module_of(command: str) -> str | None:
    """Return the file of the stage that a `cmd` runs: "python -m train sft ..." -> "train/sft.py"."""
    found = COMMAND.match(command)
    if not found:
        return None
    package, stage = found.groups()
    return f"{package}/{stage}.py"


def code_deps(root: Path, module: str) -> list[str]:
    """Return `module` and all of our files it imports, directly or not, also inside functions."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in seen or path in LEFT_OUT:
            continue
        seen.add(path)
        waiting += imports(root, path)
    return sorted(seen)


@functools.cache  # a module is read once, not once a stage
def imports(root: Path, path: str) -> list[str]:
    """Return our files that one file imports."""
    found = []
    for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] in OURS:
                found += [str(file) for file in file_of(root, parts)]
    return found


def file_of(root: Path, parts: list[str]) -> list[Path]:
    """Return the file of a dotted name; a package's own __init__ counts when it holds code."""
    here = Path(*parts)
    if (root / here.with_suffix(".py")).is_file():
        return [here.with_suffix(".py")]
    init = here / "__init__.py"
    return [init] if len(parts) > 1 and (root / init).is_file() and (root / init).read_text().strip() else []


def stages(graph) -> dict[str, dict]:
    """Return each stage's own mapping, the one under `do` for foreach."""
    return {name: stage.get("do", stage) for name, stage in graph["stages"].items()}


@click.command("deps")
@click.option("--write", is_flag=True, help="Put the code deps into dvc.yaml.")
def main(write):
    """Compare the code under deps in dvc.yaml with the import graph."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 1000
    yaml.indent(mapping=2, sequence=4, offset=2)
    root = find_project()
    path = root / "dvc.yaml"
    graph = yaml.load(path.read_text(encoding="utf-8"))
    wrong = []
    for name, stage in stages(graph).items():
        wanted = code_deps(root, module_of(stage["cmd"]))
        listed = [dep for dep in stage.get("deps", []) if str(dep).endswith(".py")]
        if sorted(listed) != wanted:
            wrong.append(name)
            for dep in listed:
                stage["deps"].remove(dep)
            stage.setdefault("deps", []).extend(wanted)
    if write and wrong:
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(graph, file)
    click.echo(f"{'rewritten' if write else 'differ'}: {', '.join(wrong)}" if wrong else "all code deps are right")
    raise SystemExit(1 if wrong and not write else 0)
