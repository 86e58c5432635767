"""What the laptop's stand-ins can not do, said in one line where they are asked to."""

import click

from pipeline.runtime.terminal import make_visible
from schemas.params import Params
from schemas.section import BackendParams

RECIPE = "vpo-cogvideox-2b"
"""the recipe whose models read any query"""


def say_if_unreadable(params: Params, *backends: BackendParams, ready: tuple[str, ...] = ()) -> None:
    """Say that small stand-ins are to read queries that are not the offline world's, where that is so.

    `ready` names the ready sets (d_sft, d_dpo) that a stage reads where they are given.
    """
    # by dumping them, for no row depends on the line: a stage lists the keys that it reads
    source = params.queries.model_dump(include={"source"})["source"]
    paths = params.model_dump(include={name: {"path"} for name in ready})
    origins = [f"queries.source: {source}"] if source != "synthetic" else []
    origins += [f"{name}.path: {values['path']}" for name, values in paths.items() if values["path"]]
    if origins and any(type(backend).NEEDS.stand_in for backend in backends):
        line = (
            f"  these queries are not the offline world's ({', '.join(origins)}): the laptop's policy and its "
            f"other stand-ins cannot read them; models that can: vpo recipe use {RECIPE}"
        )
        click.echo(make_visible(line), err=True)
