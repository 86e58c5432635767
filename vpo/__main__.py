"""The person's door: `vpo COMMAND`."""

import importlib

import click

COMMANDS = [
    "sql", "clips", "optimize", "recipe", "serve-policy", "check", "publish", "doctor", "stages", "schema", "deps",
]  # fmt: skip


class Commands(click.Group):
    """Imports a command when it is asked for, so that the door opens at once."""

    def list_commands(self, ctx):
        return COMMANDS

    def get_command(self, ctx, name):
        return importlib.import_module(f"vpo.{name.replace('-', '_')}").main if name in COMMANDS else None


@click.group(cls=Commands)
def main():
    """Ask, change and publish what the graph has made."""


if __name__ == "__main__":
    main(prog_name="vpo")
