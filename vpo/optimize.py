"""`vpo optimize`: queries through the trained optimizer."""

import contextlib
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.runtime.terminal import escape_json, make_visible
from vpo.graph import Graph, read_graph, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    from schemas.params import OptimizeParams, QueriesParams
    from schemas.seams import Outcome, Policy

TRAINED = ("dpo", "sft")
QUERY = "query"
"""The column that is x beyond doubt: beside it a prompt is p."""
TABLES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx")
"""endings of names that tell how to read a file"""
EMPTY = "the query is empty once it is cleaned; say what the video should show"


@click.command("optimize")
@click.argument("queries", nargs=-1, metavar="[QUERY]...")
@click.option(
    "--from", "file", metavar="FILE", help="Queries of a table (CSV, JSONL, Parquet, ...) or text; - is standard input."
)
@click.option("--model", type=click.Path(path_type=Path), help="A model folder, in place of the newest trained one.")
@click.option("--greedy", is_flag=True, help="The likeliest prompt in place of a drawn one.")
@click.option("-n", "samples", metavar="N", type=click.IntRange(min=1), default=1, help="Prompts a query; default: 1.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line: query, sample, prompt, failure.")
@recipe_option
def main(
    queries: tuple[str, ...],
    file: str | None,
    model: Path | None,
    greedy: bool,
    samples: int,
    as_json: bool,
    recipe: str,
) -> None:
    """Print the prompt that the trained optimizer writes for each QUERY, a line each, in their order.

    Without a QUERY they are read from standard input, a line each; prompts come as soon as their batch is written. A
    query without a prompt is an empty line, with the reason on stderr, and the command ends with 1.
    """
    from pipeline.backends.policy import make_policy
    from pipeline.runtime.params_file import load_params

    if greedy and samples > 1:
        raise click.UsageError("--greedy has one prompt a query: leave -n out")
    if queries and file:
        raise click.UsageError("queries as words or --from a file, not both")
    if file and file != "-":
        file = str(Path(file).absolute())  # files are named from where the person stands
    root = find_project()
    graph = read_graph(root, recipe)
    folder = model.resolve() if model else find_trained(root, graph)
    if not (folder / "config.json").is_file():
        raise click.ClickException(f"{model}: not a model folder (no config.json in it)")
    failures = 0
    with contextlib.chdir(root):  # params name templates from the root
        params = load_params(graph.params_file)
        texts = iter(queries) if queries else read_queries(file or "-", params.queries)
        sampling = params.optimize.model_copy(update={"temperature": 0.0}) if greedy else params.optimize
        policy = make_policy(folder, params.policy)
        keep_flags = params.queries.keep_flags
        if is_made_here(folder, root, graph) and type(params.base_model).NEEDS.stand_in:
            texts = tell_if_strange(texts, keep_flags, params.world.queries, params.base.seed)
        for answer in optimize(texts, policy, sampling, params.base.seed, keep_flags=keep_flags, samples=samples):
            failures += not answer.is_served
            show(answer, as_json)
    if failures:
        sys.exit(1)


def tell_if_strange(texts: Iterable[str], keep_flags: bool, n: int, seed: int) -> Iterator[str]:
    """Pass texts on; of the first that the laptop's policy cannot read say so, once."""
    from pipeline.text.clean import clean

    is_told = False
    for text in texts:
        is_told = is_told or say_if_strange(clean(text, keep_flags), n, seed)
        yield text


def say_if_strange(query: str, n: int, seed: int) -> bool:
    """Say that the laptop's policy cannot read a query whose words are not those it was trained on; return whether."""
    from pipeline.runtime.stand_ins import RECIPE
    from pipeline.world.vocabulary import is_readable

    if is_readable(query, n, seed):
        return False
    click.echo(
        "the laptop's policy knows the offline world's words alone and cannot read this query; a policy that can "
        f"is trained by: vpo recipe use {RECIPE}",
        err=True,
    )
    return True


def find_trained(root: Path, graph: Graph) -> Path:
    """Return the folder of the model after DPO, else after SFT; extra arms are comparisons, never for use."""
    for name in TRAINED:
        for stage in graph.running(name):
            if stage.entry == name and (root / stage.outs[0] / "config.json").is_file():
                return root / stage.outs[0]
    raise click.ClickException("no model is trained yet: run `dvc repro dpo`, or name one with --model")


def is_made_here(folder: Path, root: Path, graph: Graph) -> bool:
    """Return whether a model folder is what a stage of this project makes, so that params say of which base it is."""
    return any(folder == root / out for stage in graph.stages.values() for out in stage.outs)


@dataclass(frozen=True)
class Answer:
    """What x is served: a prompt p, x itself where the model wrote none, or nothing; `failure` says why not p."""

    query: str
    sample: int
    prompt: str
    failure: str = ""

    @property
    def is_served(self) -> bool:
        """Whether there is a text to pass on."""
        return bool(self.prompt)


def read_queries(file: str, params: "QueriesParams") -> Iterator[str]:
    """Yield the queries of a file as stage `queries` reads them, by their column query, else prompt or text.

    A name that tells no format is a line each; "-" is standard input. Raises ClickException for a file that cannot be
    read, naming file and record.
    """
    from pipeline.curation.files import TEXT, open_table
    from pipeline.curation.sources import fold_name, read_frames
    from pipeline.runtime.io import DataError
    from pipeline.text.incoming_bytes import read_lines, strip_packing

    path = Path(file)
    try:
        if file == "-" or strip_packing(path).suffix.lower() not in TABLES:
            lines = sys.stdin if file == "-" else read_lines(path)
            yield from (line.rstrip("\r\n") for line in lines if line.strip())
            return
        names = [fold_name(name) for name in open_table(path).names]
        column = QUERY if QUERY in names else None
        changes = {"source": "file", "path": file, "query_column": column, "id_column": None, "limit": None}
        record = 0
        for frame in read_frames(params.model_copy(update=changes)):
            for text, fault in zip(frame["text"], frame["fault"], strict=True):
                record += 1
                if fault is not None:
                    raise click.ClickException(f"{file}: record {record}: {fault}")
                if names != [TEXT] or text.strip():  # a blank line of a text is none of its queries
                    yield text
    except (OSError, UnicodeDecodeError, DataError) as fault:
        raise click.ClickException(f"{file}: {fault}") from None


def optimize(
    texts: Iterable[str],
    policy: "Policy",
    params: "OptimizeParams",
    seed: int,
    *,
    keep_flags: bool,
    samples: int = 1,
) -> Iterator[Answer]:
    """Yield `samples` answers to each text, in order, cleaned as the policy saw queries in training.

    The policy takes what it likes at once; the same query, model and settings give the same prompts. Where it writes
    none, the rule of the evaluation holds: the query itself is served, but neither a flagged one nor after a refusal.
    """
    from pipeline.text.clean import clean
    from schemas.base import QueryBase, content_id

    waiting: deque[tuple[str, str]] = deque()

    def rows() -> Iterator[QueryBase]:
        for text in texts:
            waiting.append((text, cleaned := clean(text, keep_flags)))
            if cleaned:
                yield QueryBase(query_id=content_id(cleaned), query=cleaned, split="test", safety=False)

    def pass_empty() -> Iterator[Answer]:
        while waiting and not waiting[0][1]:
            yield Answer(waiting.popleft()[0], 0, "", EMPTY)

    outcomes = iter(policy.map(rows(), samples, params, seed))
    while mine := list(islice(outcomes, samples)):
        yield from pass_empty()
        text, cleaned = waiting.popleft()
        for number, outcome in enumerate(mine):
            yield (
                Answer(text, number, outcome.value)
                if outcome.value
                else serve_failure(Answer(text, number, ""), cleaned, outcome, params)
            )
    yield from pass_empty()


def serve_failure(nothing: Answer, cleaned: str, outcome: "Outcome[str]", params: "OptimizeParams") -> Answer:
    """Return what a query is served for which the model wrote no usable prompt: itself, or nothing, and why."""
    from pipeline.evaluation.serving import why_nothing_is_served
    from schemas.reasons import Reason

    reason = outcome.reason or Reason.FAILED
    failure = f"the model wrote no usable prompt ({reason}): {outcome.detail}"
    why = why_nothing_is_served(reason, is_flagged(cleaned), params)
    if why is None:
        return replace(nothing, prompt=cleaned, failure=f"{failure}; the query itself is served")
    if why == Reason.WITHHELD:
        failure += "; the query may ask for something harmful, so it is not passed on"
    return replace(nothing, failure=failure)


def is_flagged(query: str) -> bool:
    """Return whether a cleaned query may ask for something harmful, by terms alone: no teacher judges it again here."""
    from pipeline.curation.prohibited_content import is_prohibited
    from pipeline.curation.unsafe_terms import is_candidate

    return is_candidate(query) or is_prohibited(query)


def show(answer: Answer, as_json: bool) -> None:
    """Print an answer at once; of a failure an empty line, and the reason on stderr."""
    if as_json:
        click.echo(escape_json(json.dumps(asdict(answer), ensure_ascii=False)))
    else:
        click.echo(make_visible(answer.prompt))
        if answer.failure:
            head = "" if answer.is_served else "Error: "
            click.echo(f"{head}{answer.query[:60]!r}: {make_visible(answer.failure)}", err=True)
    sys.stdout.flush()
