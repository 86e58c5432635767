"""`vpo stages`: the table of contents of the graphs."""

from collections.abc import Mapping
from pathlib import Path

import click

from schemas.stage import row_class
from vpo.graph import Graph, read_graphs
from vpo.project import find_project


def table(graph: Graph) -> list[dict[str, str]]:
    """Return one row an entry of a dvc.yaml: stage, what it does, its code, its row class, what it writes first."""
    rows = []
    for entry in graph.entries.values():
        row = row_class(entry.module) if entry.module else None
        rows.append(
            {
                "stage": entry.name,
                "does": entry.desc,
                "code": entry.code_file,
                "row": row.__name__ if row else "-",
                "writes": entry.writes,
            }
        )
    return rows


def markdown(graphs: Mapping[str, Graph]) -> str:
    """Return the root's table as Markdown, and behind it one for each recipe with a graph of its own."""
    parts = []
    for name, graph in graphs.items():
        lines = [f"Recipe `{name}` (`{graph.file}`):", ""] if name else []
        lines += ["| stage | does | code | row | writes |", "|---|---|---|---|---|"]
        for row in table(graph):
            lines.append(f"| `{row['stage']}` | {row['does']} | `{row['code']}` | {row['row']} | `{row['writes']}` |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def list_stages(root: Path) -> list[str]:
    """Return the lines that a person reads: every stage of every graph."""
    lines = []
    for name, graph in read_graphs(root).items():
        lines += [f"{name}:"] if name else []
        lines += [f"{row['stage']:<14} {row['does']:<46} {row['writes']}" for row in table(graph)]
    return lines


@click.command("stages")
@click.option("--md", is_flag=True, help="As the Markdown table of the README.")
def main(md: bool) -> None:
    """List the stages of the graph with what each does and writes."""
    root = find_project()
    click.echo(markdown(read_graphs(root)) if md else "\n".join(list_stages(root)))
