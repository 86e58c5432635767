"""`vpo sql`: DuckDB over every artifact of the project, able to read them and nothing else."""

import json
import re
import sys

import click

from vpo.project import find_project

SHOWN = 200  # a table of more rows is read by nobody; --json prints all
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@click.command("sql")
@click.argument("query", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of objects.")
def main(query, as_json):
    """Query any artifact; without a query, list the views and their columns."""
    import duckdb

    connection = connect(find_project())
    try:
        if query is None:
            query = (
                "select table_name as view, string_agg(column_name || ' ' || regexp_replace(data_type, '\\(.*\\)', "
                "'(...)'), ', ' order by column_index) as columns from duckdb_columns() where not internal "
                "group by all order by all"
            )
        names, rows = answer(connection, query)
    except duckdb.Error as fault:
        raise click.ClickException(line(fault)) from None
    if as_json:
        print_json(names, rows)
    else:
        print_table(names, rows)


def connect(root):
    """Return an in-memory DuckDB with a view for every artifact; it can open their files alone, and that is locked."""
    import duckdb

    from vpo.views import unions, views

    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": "",
        },
    )
    named = {view.name: view for view in views(root)}
    files = sorted({str(path) for view in named.values() for path in view.files})
    for name, text in [*((name, view.sql()) for name, view in named.items()), *unions(named).items()]:
        try:
            connection.execute(f'create view "{name}" as {text}')
        except duckdb.Error as fault:  # one unreadable file must not close the door to all the others
            click.echo(f"view {name} is left out: {line(fault)}", err=True)
    connection.execute("set allowed_paths = $paths", {"paths": files})
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def answer(connection, query: str) -> tuple[list[str], list[tuple]]:
    """Return column names, made unique, and rows of one statement that only reads."""
    import duckdb

    statements = connection.extract_statements(query)
    # not `explain` either: `explain analyze copy ... to ...` writes
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise click.ClickException("one statement that reads (select, describe, summarize) at a time, none that writes")
    result = connection.execute(statements[0])
    names: list[str] = []
    for column in result.description:
        name, again = column[0], 1
        while name in names:
            again += 1
            name = f"{column[0]}_{again}"
        names.append(name)
    return names, result.fetchall()


def line(fault) -> str:
    """Return what DuckDB says in one line, without its drawing of the place."""
    return " ".join(str(fault).split("\n\nLINE")[0].split())


def print_json(names, rows) -> None:
    records = [dict(zip(names, row, strict=True)) for row in rows]
    json.dump(_plain(records), sys.stdout, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def _plain(value):
    """Return the value with what JSON cannot say (NaN, infinity) as null."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def print_table(names, rows) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=200)
    table = Table()
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for row in rows[:SHOWN]:
        # texts of users and models: neither rich's markup nor a terminal's control codes are read from them
        table.add_row(*(Text(CONTROL.sub("\ufffd", "" if cell is None else str(cell))) for cell in row))
    console.print(table)
    shown = f"{len(rows)} rows" if len(rows) <= SHOWN else f"{SHOWN} of {len(rows)} rows; --json prints all"
    click.echo(shown, err=True)
