"""The graph's door: `python -m pipeline STAGE IN... OUT`."""

import importlib
import sys
from pathlib import Path

try:
    import click

    from pipeline.runtime.locks import stop_with_parent
except ImportError as fault:
    print(
        f"{fault}: activate the environment first: source .venv/bin/activate (make setup creates it)", file=sys.stderr
    )
    sys.exit(2)

STAGES = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
"""The modules at the top of pipeline/: nothing but stages lies there."""


class Stages(click.Group):
    """Imports a stage when its name is called, so that the door opens at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return STAGES

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in STAGES:
            return None
        command: click.Command = importlib.import_module(f"pipeline.{name}").main
        return command


@click.group(cls=Stages)
def main() -> None:
    """Run one stage of the graph, as `dvc repro` does."""
    stop_with_parent()


if __name__ == "__main__":
    main(prog_name="python -m pipeline")
