"""The graph's door to training: `python -m train STAGE IN... OUT`."""

import importlib
import sys

try:
    import click

    from pipeline.runtime.locks import stop_with_parent
    from pipeline.runtime.terminal import Door
except ImportError as fault:
    print(
        f"{fault}: activate the environment first: source .venv/bin/activate (make setup creates it)", file=sys.stderr
    )
    sys.exit(2)

STAGES = ["base_model", "sft", "dpo"]


class Stages(Door):
    """Imports a stage when its name is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return STAGES

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return importlib.import_module(f"train.{name}").main if name in STAGES else None


@click.group(cls=Stages)
def main() -> None:
    """Rows -> weights; `dvc repro` calls these in order."""
    stop_with_parent()


if __name__ == "__main__":
    main(prog_name="python -m train")
