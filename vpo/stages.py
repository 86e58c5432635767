"""`vpo stages`: the table of contents of the graph."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from vpo.project import find_project

COMMAND = re.compile(r"^python -m (pipeline|train) (\w+)")


def module_of(command: str) -> str | None:
    """Return the file of the stage that a `cmd` runs: "python -m train sft ..." -> "train/sft.py"."""
    match = COMMAND.match(command)
    return f"{match[1]}/{match[2]}.py" if match else None


def stages(graph: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each stage's own mapping, the one under `do` for foreach."""
    return {name: stage.get("do", stage) for name, stage in graph["stages"].items()}


def table(root: Path) -> list[dict[str, str]]:
    """Return one row a stage of dvc.yaml: stage, what it does, its code, its row class, what it writes first."""
    from ruamel.yaml import YAML

    from schemas import ROWS

    graph = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8"))
    rows = []
    for name, stage in stages(graph).items():
        row = ROWS.get(re.sub(r"_(eval|arm)$", "", name)) if not name.startswith("dpo") else None
        rows.append(
            {
                "stage": name,
                "does": graph["stages"][name].get("desc") or stage.get("desc", ""),
                "code": module_of(stage["cmd"]),
                "row": row.__name__ if row else "-",
                "writes": re.sub(r"\$\{(key|item)\}", r"<\1>", stage["outs"][0]),
            }
        )
    return rows


def markdown(rows: list[dict[str, str]]) -> str:
    lines = ["| stage | does | code | row | writes |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| `{row['stage']}` | {row['does']} | `{row['code']}` | {row['row']} | `{row['writes']}` |")
    return "\n".join(lines)


@click.command("stages")
@click.option("--md", is_flag=True, help="As the Markdown table of the README.")
def main(md):
    """List the stages of the graph with what each does and writes."""
    rows = table(find_project())
    if md:
        click.echo(markdown(rows))
        return
    for row in rows:
        click.echo(f"{row['stage']:<14} {row['does']:<46} {row['writes']}")
