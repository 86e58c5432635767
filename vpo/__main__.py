"""The person's door: `vpo COMMAND`."""

import importlib

import click

from pipeline.runtime.terminal import Door

COMMANDS = {
    "sql": "Query any artifact; without a query, list the views and their columns.",
    "clips": "Put one query's clip of every arm into a folder and print each arm's prompt.",
    "optimize": "Print the prompt that the trained optimizer writes for QUERY.",
    "recipe": "List, show or use a paper's settings.",
    "plan": "Say what the stages will ask and what it costs; nothing is sent, and no key is needed.",
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands)
def main() -> None:
    """Ask, change and publish what the graph has made."""


if __name__ == "__main__":
    main(prog_name="vpo")
