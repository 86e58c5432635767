"""params.yaml -> a constant: every stage depends on it, so a wrong value or an unknown key stops the run first."""

import click

from pipeline.io import write_json
from pipeline.params import load_params, option, refuse_same_judge, refuse_unpinned


@click.command("params")
@click.argument("out")
@option
def main(out, params_path):
    """Check the whole params file before any work."""
    params = load_params(params_path)
    refuse_same_judge(params)
    refuse_unpinned(params)
    write_json(out, {"params": "valid"})
