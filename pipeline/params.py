"""params.yaml -> a constant: every stage depends on it, so a wrong value or an unknown key stops the run first."""

import click

from pipeline.runtime.io import write_json
from pipeline.runtime.params_file import load_params, option, refuse_same_judge, refuse_unpinned
from pipeline.scoring.questions import read_questions
from schemas.stage import Declaration

STAGE = Declaration(reads=(), row=None, unit="params file")


@click.command("params")
@click.argument("out")
@option
def main(out, params_path):
    """Check the whole params file before any work."""
    params = load_params(params_path)
    refuse_same_judge(params)
    refuse_unpinned(params)
    for model in params.reward.models.values():
        if model.questions is not None:  # else it would be found out when all clips are rendered
            read_questions(model.questions)
    write_json(out, {"params": "valid"})
