"""params.yaml -> a constant: every stage depends on it, so a wrong value or an unknown key stops the run first."""

import click

from pipeline.io import write_json
from pipeline.params import load_params, option


@click.command("params")
@click.argument("out")
@option
def main(out, params_path):
    """Check the whole params file before any work."""
    load_params(params_path)
    write_json(out, {"params": "valid"})
