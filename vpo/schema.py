"""`vpo schema`: the JSON Schema of a dataset's rows."""

import json

import click


@click.command("schema")
@click.argument("stage", required=False)
def main(stage: str | None) -> None:
    """Print the JSON Schema of a stage's row, or of params.yaml; without a name, list the names."""
    from pydantic import BaseModel

    from schemas.base import Dropped
    from schemas.params import Params
    from schemas.queries import QueryDropped
    from schemas.stage import row_classes

    named: dict[str, type[BaseModel]] = {
        **row_classes(),
        "dropped": Dropped,
        "queries_dropped": QueryDropped,
        "params": Params,
    }
    if stage is None:
        for name, row in named.items():
            click.echo(f"{name:<16} {' '.join((row.__doc__ or '').split())}")
    elif stage in named:
        click.echo(json.dumps(named[stage].model_json_schema(), indent=2, ensure_ascii=False))
    else:
        raise click.ClickException(f"no rows are called {stage}; there are {', '.join(named)}")
