"""What the laptop's stand-ins can not do, said in one line where they are asked to."""

import click

from schemas.params import Params
from schemas.section import BackendParams

RECIPE = "vpo-cogvideox-2b"
"""the recipe whose models read any query"""


def say_if_unreadable(params: Params, *backends: BackendParams) -> None:
    """Say that small stand-ins are to read queries that are not the offline world's, where that is so."""
    # by dumping it, for no row depends on the line: a stage lists the keys that it reads
    source = params.queries.model_dump(include={"source"})["source"]
    if source != "synthetic" and any(type(backend).NEEDS.stand_in for backend in backends):
        click.echo(
            f"  these queries are not the offline world's (queries.source: {source}): the laptop's policy and its "
            f"other stand-ins cannot read them; models that can: vpo recipe use {RECIPE}",
            err=True,
        )
