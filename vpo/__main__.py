"""The person's door: `vpo COMMAND`."""

import difflib
import importlib
from importlib.metadata import PackageNotFoundError, version

import click

from pipeline.runtime.terminal import Door

COMMANDS = {
    "sql": "Query any artifact; without a query, list the views and their columns.",
    "clips": "Put one query's clip of every arm, or those of a pair, into a folder and print each prompt.",
    "optimize": "Print the prompt that the trained optimizer writes for each QUERY, a line each, in their order.",
    "recipe": "List, show or use a paper's settings.",
    "plan": "Say what the stages will ask and what it costs; nothing is sent, and no key is needed.",
    "compare": "Set runs side by side: changed params, headline metrics with intervals, and what got worse.",
    "why": "Say why a stage would run: which dep, param or code changed, and what it will buy.",
    "retry": "Ask again for what failed for a reason that another day may mend, in STAGE or in all.",
    "store": "Look at, tidy, export and import what was bought and made.",
    "serve-policy": "Print the vLLM command that serves the model in FOLDER, or start it with --run.",
    "check": "Trace every pair, clip and score to what it says it came from.",
    "publish": "Send what stage package made to the Hub dataset REPO (owner/name) in one commit.",
    "doctor": "Check what a run needs, and say what to do; ends with 1 where something is wrong.",
    "stages": "List the stages of the graph with what each does and writes.",
    "schema": "Print the JSON Schema of a stage's row, or of params.yaml; without a name, list the names.",
}
"""name -> the first line of its help, written here so that the door opens without loading them all"""


class Commands(Door):
    """Imports a command when it is asked for, so that the door opens at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the list above."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command by its name."""
        return importlib.import_module(f"vpo.{name.replace('-', '_')}").main if name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names. Raises UsageError with the names that are near."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=2, cutoff=0.5)
            more = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {args[0]}{more}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Print the version that is installed, and end."""
    if value and not ctx.resilient_parsing:
        try:
            click.echo(f"vpo {version('vpo')}")
        except PackageNotFoundError:
            click.echo("vpo, not installed: run from a folder")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Print the version."
)
def main() -> None:
    """Ask, change and publish what the graph has made."""


if __name__ == "__main__":
    main(prog_name="vpo")
