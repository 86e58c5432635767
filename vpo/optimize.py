"""`vpo optimize`: one query through the trained optimizer."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vpo.graph import Graph, read_graph, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    from schemas.params import OptimizeParams
    from schemas.seams import Policy

TRAINED = ("dpo", "sft")


@click.command("optimize")
@click.argument("query")
@click.option("--model", type=click.Path(path_type=Path), help="A model folder, in place of the newest trained one.")
@click.option("--greedy", is_flag=True, help="The likeliest prompt in place of a drawn one.")
@recipe_option
def main(query: str, model: Path | None, greedy: bool, recipe: str) -> None:
    """Print the prompt that the trained optimizer writes for QUERY."""
    from pipeline.backends.policy import make_policy
    from pipeline.runtime.params_file import load_params

    root = find_project()
    graph = read_graph(root, recipe)
    folder = model.resolve() if model else find_trained(root, graph)
    if not (folder / "config.json").is_file():
        raise click.ClickException(f"{model}: not a model folder (no config.json in it)")
    with contextlib.chdir(root):  # params name templates from the root
        params = load_params(graph.params_file)
        serving = params.optimize.model_copy(update={"temperature": 0.0}) if greedy else params.optimize
        cleaned = clean_query(query, params.queries.keep_flags)
        click.echo(optimize(cleaned, make_policy(folder, params.policy), serving, params.base.seed))


def find_trained(root: Path, graph: Graph) -> Path:
    """Return the folder of the model after DPO, else after SFT; extra arms are comparisons, never for use."""
    for name in TRAINED:
        for stage in graph.running(name):
            if stage.entry == name and (root / stage.outs[0] / "config.json").is_file():
                return root / stage.outs[0]
    raise click.ClickException("no model is trained yet: run `dvc repro dpo`, or name one with --model")


def clean_query(text: str, keep_flags: bool) -> str:
    """Return x as the policy saw queries in training. Raises ClickException when nothing is left."""
    from pipeline.text.clean import clean

    if cleaned := clean(text, keep_flags):
        return cleaned
    raise click.ClickException("the query is empty once it is cleaned; say what the video should show")


def is_flagged(query: str) -> bool:
    """Return whether a cleaned query may ask for something harmful, by terms alone: no teacher judges it again here."""
    from pipeline.curation.prohibited_content import is_prohibited
    from pipeline.curation.unsafe_terms import is_candidate

    return is_candidate(query) or is_prohibited(query)


def optimize(query: str, policy: "Policy", params: "OptimizeParams", seed: int) -> str:
    """Return p for x, or x itself where the model wrote none; the same query, model and settings give the same text.

    Raises ClickException where nothing is served: after a refusal, for a flagged query, or by `optimize.on_failure`.
    """
    from pipeline.evaluation.serving import why_nothing_is_served
    from schemas.base import QueryBase, content_id
    from schemas.reasons import Reason

    row = QueryBase(query_id=content_id(query), query=query, split="test", safety=is_flagged(query))
    outcome = next(iter(policy.map([row], 1, params, seed)))
    if outcome.value is not None:
        return outcome.value
    reason = outcome.reason or Reason.FAILED
    failure = f"the model wrote no usable prompt ({reason}): {outcome.detail}"
    why = why_nothing_is_served(reason, row.safety, params)
    if why == Reason.WITHHELD:
        raise click.ClickException(f"{failure}; the query may ask for something harmful, so it is not passed on")
    if why is not None:
        raise click.ClickException(failure)
    click.echo(f"{failure}; the query itself is served", err=True)
    return query
