"""`vpo sql`: DuckDB over every artifact of the project, able to read them and nothing else."""

import csv
import json
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.runtime.terminal import escape_json, make_visible
from vpo.graph import read_graphs, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    import duckdb

    from vpo.views import View

SHOWN = 200  # a table of more rows is read by nobody; --json prints all
LISTING = r"""
select if(schema_name = 'main', '', schema_name || '.') || table_name as view,
string_agg(column_name || ' ' || regexp_replace(data_type, '\(.*\)', '(...)'), ', ' order by column_index) as columns
from duckdb_columns() where not internal group by all order by all
"""


@click.command("sql")
@click.argument("query", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of objects.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all rows to a .csv, .parquet or .jsonl file.")
@recipe_option
def main(query: str | None, as_json: bool, out: Path | None, recipe: str) -> None:
    """Query any artifact; without a query, list the views and their columns.

    Views of a recipe with a graph of its own are named behind the recipe: prompt_a_video.d_dpo. With --recipe there are
    those alone, and a bare name is enough.
    """
    import duckdb

    if out and (as_json or out.suffix not in WRITERS):
        raise click.UsageError(f"--out goes without --json, and into a file that ends with {', '.join(WRITERS)}")
    root = find_project()
    try:
        connection = connect(root, recipe)
        if query is not None:
            warn_of_files(connection, root, query, recipe)
        if out:
            click.echo(
                f"{write_out(connection, LISTING if query is None else query, out)} rows written to {out}", err=True
            )
            return
        names, rows = answer(connection, LISTING if query is None else query)
    except (duckdb.Error, OverflowError, ValueError) as fault:
        raise click.ClickException(line(fault)) from None
    if as_json:
        print_json(names, rows)
    else:
        print_table(names, rows)


def warn_of_files(connection: "duckdb.DuckDBPyConnection", root: Path, query: str, recipe: str) -> None:
    """Say on stderr, a line a view, that a view of the query is not what the last run left."""
    from vpo.fresh import notes, tables_of
    from vpo.graph import read_graph
    from vpo.views import schema_of, views

    if not (names := tables_of(connection, query)):
        return
    for graph in [read_graph(root, recipe)] if recipe else read_graphs(root).values():
        prefix = "" if recipe or schema_of(graph) == "main" else f"{schema_of(graph)}."
        artifacts = list(views(root, graph))
        taken = {view.name for view in artifacts}  # a bare stage name stands for its lanes where no view has it
        read = [
            view
            for view in artifacts
            if f"{prefix}{view.name}" in names or (view.stage not in taken and f"{prefix}{view.stage}" in names)
        ]
        for note in notes(root, graph, read):
            click.echo(f"note: {note}", err=True)


def connect(root: Path, recipe: str = "") -> "duckdb.DuckDBPyConnection":
    """Return an in-memory DuckDB with a view for every artifact; it can open their files alone, and that is locked.

    The views are those of every graph, a bare name being one of the root's; with `recipe`, those of its graph alone.
    """
    import duckdb

    from vpo.graph import read_graph
    from vpo.views import schema_of, unions, views

    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": "",
        },
    )
    # DuckDB looks for a bare name in main as well, so the root's views would stand in for those a recipe lacks
    graphs = [read_graph(root, recipe)] if recipe else [*read_graphs(root).values()]
    files: set[str] = set()
    for graph in graphs:
        named = list(views(root, graph))
        create(connection, schema_of(graph), named, unions(named, schema_of(graph)))
        files |= {str(path) for view in named for path in view.files}
    if recipe:
        connection.execute(f"set search_path = '{schema_of(graphs[0])}'")
    connection.execute("set allowed_paths = $paths", {"paths": sorted(files)})
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def create(connection: "duckdb.DuckDBPyConnection", schema: str, named: list["View"], unions: dict[str, str]) -> None:
    """Create the views of one graph, and say which are left out because a file of theirs cannot be read."""
    import duckdb

    from vpo.views import quote

    connection.execute(f"create schema if not exists {quote(schema)}")
    for name, text in [*((view.name, view.sql()) for view in named), *unions.items()]:
        try:
            connection.execute(f"create view {quote(schema)}.{quote(name)} as {text}")
        except duckdb.Error as fault:  # one unreadable file must not close the door to all the others
            click.echo(make_visible(f"view {name} is left out: {line(fault)}"), err=True)


def answer(connection: "duckdb.DuckDBPyConnection", query: str) -> tuple[list[str], list[tuple]]:
    """Return column names, made unique, and rows of one statement that only reads."""
    result = run(connection, query)
    return unique_names(result), result.fetchall()


def run(connection: "duckdb.DuckDBPyConnection", query: str) -> "duckdb.DuckDBPyConnection":
    """Run one statement that only reads."""
    import duckdb

    statements = connection.extract_statements(query)
    # not `explain` either: `explain analyze copy ... to ...` writes
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise click.ClickException("one statement that reads (select, describe, summarize) at a time, none that writes")
    return connection.execute(statements[0])


def unique_names(result: "duckdb.DuckDBPyConnection") -> list[str]:
    """Return the names of a result's columns, a number behind those that are there already."""
    names: list[str] = []
    for column in result.description or ():
        name, again = column[0], 1
        while name in names:
            again += 1
            name = f"{column[0]}_{again}"
        names.append(name)
    return names


def write_out(connection: "duckdb.DuckDBPyConnection", query: str, out: Path) -> int:
    """Write all rows of a query into a file, by its ending; return how many."""
    from pipeline.runtime.io import replacing

    result = run(connection, query)
    names = unique_names(result)
    with replacing(out) as temporary:
        return WRITERS[out.suffix](result, names, temporary)


def _write_csv(result: "duckdb.DuckDBPyConnection", names: list[str], path: Path) -> int:
    rows = result.fetchall()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(
            [json.dumps(_plain(cell), ensure_ascii=False, default=str) if isinstance(cell, dict | list) else cell
             for cell in row]
            for row in rows
        )  # fmt: skip
    return len(rows)


def _write_jsonl(result: "duckdb.DuckDBPyConnection", names: list[str], path: Path) -> int:
    rows = result.fetchall()
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            record = _plain(dict(zip(names, row, strict=True)))
            file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
    return len(rows)


def _write_parquet(result: "duckdb.DuckDBPyConnection", names: list[str], path: Path) -> int:
    import pyarrow
    import pyarrow.parquet

    with warnings.catch_warnings():  # of a copy of the rows, which are what is asked for
        warnings.simplefilter("ignore", UserWarning)
        table: pyarrow.Table = result.to_arrow_table().rename_columns(names)
    pyarrow.parquet.write_table(table, path)
    return table.num_rows


WRITERS = {".csv": _write_csv, ".parquet": _write_parquet, ".jsonl": _write_jsonl}
"""ending of a file -> what writes it"""


def line(fault: Exception) -> str:
    """Return what DuckDB says in one line, without its drawing of the place."""
    return " ".join(str(fault).split("\n\nLINE")[0].split())


def print_json(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as one JSON array of objects."""
    records = [dict(zip(names, row, strict=True)) for row in rows]
    sys.stdout.write(escape_json(json.dumps(_plain(records), ensure_ascii=False, default=str)) + "\n")


def _plain(value: Any) -> Any:
    """Return the value with what JSON cannot say (NaN, infinity) as null."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def print_table(names: Sequence[str], rows: Sequence[Sequence[Any]], count: bool = True) -> None:
    """Print the first rows as a table, and with `count` to stderr how many there are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=200)
    table = Table()
    for name in names:
        table.add_column(Text(make_visible(name)), overflow="fold")
    for row in rows[:SHOWN]:
        # texts of users and models: neither rich's markup nor a terminal's control codes are read from them
        table.add_row(*(Text(make_visible("" if cell is None else str(cell))) for cell in row))
    console.print(table)
    if not count:
        return
    shown = f"{len(rows)} rows" if len(rows) <= SHOWN else f"{SHOWN} of {len(rows)} rows; --json prints all"
    click.echo(shown, err=True)
