"""`vpo store`: what has been paid for on this machine; look at it, tidy it, carry it to another one."""

import json
from contextlib import chdir
from datetime import datetime, timedelta
from pathlib import Path

import click

from pipeline.runtime import accounts as accounts_of_projects
from pipeline.runtime.store import Store, home
from vpo.project import find_project
from vpo.sql import print_table
from vpo.storage.archive import export_answers, import_answers
from vpo.storage.garbage import find_garbage, remove
from vpo.storage.statistics import accounts, files, statistics

MOVED = ("teacher", "policy")
"""kinds whose request holds all that the key is made of, so that a stranger's file can be checked"""


@click.group("store")
def main() -> None:
    """Look at, tidy, export and import what was bought and made."""


@main.command("stats")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stats(as_json: bool) -> None:
    """Count answers, tokens, money, time and space, for each kind and model."""
    store = open_store()
    tables = {"answers": statistics(store), "accounts": accounts(store), "files": files(store)}
    if as_json:
        click.echo(json.dumps(tables, ensure_ascii=False))
        return
    for name, rows in tables.items():
        if rows:
            click.echo(name)
            print_table(list(rows[0]), [[show_value(value) for value in row.values()] for row in rows])


@main.command("gc")
@click.option("--older-than", default="30d", show_default=True, metavar="AGE", help="Keep what is younger: 12h, 90d.")
@click.option("--project", "projects", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Another project whose rows are kept too; may be given again.")  # fmt: skip
@click.option("--gone", multiple=True, metavar="FOLDER", help="A project that has spent money and was deleted.")
@click.option("--made", is_flag=True, help="Also rollouts, clips and scores.")
@click.option("--paid", is_flag=True, help="Also answers that cost money.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and stop.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def gc(
    older_than: str,
    projects: tuple[Path, ...],
    gone: tuple[str, ...],
    made: bool,
    paid: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove what nothing refers to any more.

    Kept is what a row refers to: under data/ and in the DVC cache (so in every version and experiment that is still
    there), of this project, of all projects that have spent money from this store, and of each --project. Kept is also
    what is younger than --older-than, and always the record of what was spent.

    What goes by itself: answers whose file is lost, files without an answer, prices that were looked up. With --made
    also rollouts, clips and scores; name other projects that use this store by --project. With --paid also answers of
    an endpoint: mind that a refusal or an unreadable answer is in no row, and will be bought again.

    Run it while no stage runs.
    """
    store = open_store()
    garbage = find_garbage(store, parse_age(older_than), [find_project(), *projects], made, paid, gone)
    for line in garbage.lines():
        click.echo(line)
    if dry_run or not garbage:
        return
    if not yes:
        click.confirm(f"remove {garbage.answers} answers and {len(garbage.files)} files?", abort=True)
    freed = remove(store, garbage)
    click.echo(f"freed {size(freed)}")


@main.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--kind", type=click.Choice(MOVED), default=MOVED[0], show_default=True)
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Bought at or after it (UTC).")
def export(file: Path, kind: str, since: datetime | None) -> None:
    """Write answers into FILE (JSON lines, zstd), for `vpo store import` elsewhere; refuses when it finds a key."""
    count = export_answers(open_store(), file, kind, since.strftime("%Y-%m-%d %H:%M:%S") if since else "")
    click.echo(f"{count} answers, {size(file.stat().st_size)}")


@main.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(file: Path) -> None:
    """Take over the answers of FILE; each key is checked against its request, an answer that is here stays.

    Nothing is charged to a budget: somebody else has paid. Import only what you trust: the key proves the question, not
    the answer.
    """
    counts = import_answers(Store(), file)
    click.echo(f"{counts.new} new, {counts.already_here} already here, {counts.refused} refused")
    if counts.refused:
        click.echo(f"refused: {counts.why}", err=True)


@main.command("account")
@click.option("--new", is_flag=True, help="Count this project's money from 0 from now on.")
@click.option("--take-over", metavar="FOLDER", help="Add what was counted for a project that lay at FOLDER.")
def account(new: bool, take_over: str | None) -> None:
    """Say under which name this project's money is counted; a clone, a worktree and a moved folder share it.

    The name stands in a file that git tracks. Who begins a project of their own from a clone gives it a new one.
    """
    with chdir(find_project()):
        if new:
            click.echo(f"{accounts_of_projects.begin_account()}: counts from 0; commit {accounts_of_projects.ID_FILE}")
        elif take_over:
            moved = accounts_of_projects.take_over(open_store(), take_over)
            click.echo("\n".join(f"taken over: {name}" for name in moved) or f"nothing was counted for {take_over}")
        else:
            click.echo(accounts_of_projects.project_id())


def open_store() -> Store:
    """Return the store, or say that there is none: looking must not make one."""
    if not (home() / "store" / "answers.sqlite").is_file():
        raise click.ClickException(f"{home()}: no store here yet; a run makes it, or VPO_HOME names another place")
    return Store()


def parse_age(text: str) -> timedelta:
    """Return how long ago: 12h or 90d. Raises BadParameter."""
    try:
        unit = {"h": timedelta(hours=1), "d": timedelta(days=1)}[text[-1:]]
        return float(text[:-1]) * unit
    except (KeyError, ValueError, OverflowError):
        raise click.BadParameter(f"{text!r}: hours or days, such as 12h or 90d", param_hint="--older-than") from None


def show_value(value: object) -> str:
    """Return a value for a table's cell."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def size(n_bytes: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "KB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} GB"
