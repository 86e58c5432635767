"""`vpo optimize`: one query through the trained optimizer."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.runtime.terminal import make_visible
from vpo.graph import Graph, read_graph, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    from schemas.params import SamplingParams
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
        sampling = params.optimize.model_copy(update={"temperature": 0.0}) if greedy else params.optimize
        cleaned = clean_query(query, params.queries.keep_flags)
        if model is None and type(params.base_model).NEEDS.stand_in:
            say_if_strange(cleaned, params.world.queries, params.base.seed)
        prompt = optimize(cleaned, make_policy(folder, params.policy), sampling, params.base.seed)
        click.echo(make_visible(prompt))


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


def say_if_strange(query: str, n: int, seed: int) -> None:
    """Say that the laptop's policy cannot read a query whose words are not among those it was trained on."""
    from pipeline.runtime.stand_ins import RECIPE
    from pipeline.world.vocabulary import is_readable

    if not is_readable(query, n, seed):
        click.echo(
            "the laptop's policy knows the offline world's words alone and cannot read this query; a policy that can "
            f"is trained by: vpo recipe use {RECIPE}",
            err=True,
        )


def optimize(query: str, policy: "Policy", sampling: "SamplingParams", seed: int) -> str:
    """Return p for x; the same query, model and settings give the same prompt. Raises ClickException without one."""
    from schemas.base import QueryBase, content_id

    row = QueryBase(query_id=content_id(query), query=query, split="test", safety=False)
    outcome = next(iter(policy.map([row], 1, sampling, seed)))
    if outcome.value is None:
        raise click.ClickException(f"the model wrote no usable prompt ({outcome.reason}): {outcome.detail}")
    return outcome.value
