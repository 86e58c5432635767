"""x -> p_1..p_K: sample K prompts a query from the policy (VPO 3.3, "Data Sampling"); one for each arm compared."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import tee
from operator import attrgetter
from pathlib import Path

import click

from pipeline.backends.policy import make_policy
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import Tally, dropped_path, stage_output
from pipeline.text.loops import has_loop
from pipeline.text.ready_sets import drop_replaced
from schemas.base import Dropped, Prompt, Provenance, content_id
from schemas.fewshot import Fewshot
from schemas.params import EvaluatedArmParams, Params, RolloutParams
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.rollout import Rollout
from schemas.seams import Policy
from schemas.stage import Ask, Declaration


def rollout(
    queries: Iterable[Query], policy: Policy, arm: str, k: int, sampling: RolloutParams, seed: int
) -> Iterator[Rollout | Dropped]:
    """Yield k rows a query, or why a sample is none; a dropped sample's id is query_id/sample.

    A sample that repeats an earlier one of its query is marked and stays: `render` makes one clip of both.
    """
    asked, rows = tee(queries)
    outcomes = policy.map(asked, k, sampling, seed)
    for row in rows:
        first: dict[str, int] = {}
        for sample in range(k):
            outcome = next(outcomes)
            if outcome.value is None:
                yield Dropped(input_id=f"{row.query_id}/{sample}", reason=outcome.reason, detail=outcome.detail)
            else:
                found = first.setdefault(outcome.value, sample)
                yield prompt_row(row, outcome.value, arm, sample, outcome.by, None if found == sample else found)


def untouched(queries: Iterable[Query], arm: str) -> Iterator[Rollout]:
    """Yield x itself as the prompt: the arm that every other one has to beat (VPO 4.1, "Original Query")."""
    for row in queries:
        by = Provenance(backend="query", model=row.source, revision="")
        yield prompt_row(row, row.query, arm, 0, by)


def stored(
    queries: Iterable[Query], prompts: dict[str, Prompt], lost: dict[str, Dropped], arm: str
) -> Iterator[Rollout | Dropped]:
    """Yield the prompts that another stage wrote, by query_id, or why a query has none."""
    for row in queries:
        if found := prompts.get(row.query_id):
            yield prompt_row(row, found.prompt, arm, 0, found.written_by)
        else:
            why = lost.get(row.query_id)
            reason = why.reason if why else Reason.FAILED
            detail = why.detail if why else "the source has no prompt for this query"
            yield Dropped(input_id=f"{row.query_id}/0", reason=reason, detail=detail)


def prompts_of(source: Path) -> tuple[dict[str, Prompt], dict[str, Dropped]]:
    """Return another stage's first prompt of each query, and what it dropped where that is known, by query_id."""
    prompts: dict[str, Prompt] = {}
    for row in read_rows(source, Rollout):  # few-shot rows are read too: they lack the marks alone
        prompts.setdefault(row.query_id, row)
    dropped = dropped_path(source)
    return prompts, {row.input_id: row for row in read_rows(dropped, Dropped)} if dropped.exists() else {}


def prompt_row(
    row: Query, prompt: str, arm: str, sample: int, by: Provenance, duplicate_of: int | None = None
) -> Rollout:
    return Rollout(
        query_id=row.query_id, query=row.query, split=row.split, safety=row.safety,
        prompt_id=content_id(row.query_id, prompt), prompt=prompt, arm=arm, sample=sample, written_by=by,
        duplicate_of=duplicate_of, loops=has_loop(prompt),
    )  # fmt: skip


TALLY: Tally[Rollout] = {"duplicates": lambda row: row.duplicate_of is not None, "looping": attrgetter("loops")}
"""what is marked, for the stage's metrics"""


def is_written_by_policy(params: Params, options: Sequence[str]) -> bool:
    """Tell whether the command asks the policy: all but the arms whose prompts are there already do."""
    if "--arm" not in options:
        return params.d_dpo.path is None
    arm = params.evaluate.arms.get(options[options.index("--arm") + 1])
    return arm is not None and arm.prompts == "policy"


STAGE = Declaration(
    reads=(Query, Fewshot, Rollout),
    row=Rollout,
    unit="sample of a query",
    asks=(Ask("policy", "policy", when=is_written_by_policy),),
)


@click.command("rollout")
@click.argument("inputs", nargs=-1, required=True, metavar="QUERIES [MODEL]")
@click.argument("out")
@click.option("--arm", help="An arm of evaluate.arms: one prompt a query, from the source named there.")
@option
def main(inputs, out, arm, params_path):
    """x -> p_1..p_K: sample prompts from the policy."""
    params = load_params(params_path)
    queries, model = [*inputs, None][:2]
    arms, seed = params.evaluate.arms, params.base.seed
    if arm is None and model is None:
        raise click.UsageError("name the folder of the model behind QUERIES, or an --arm")
    if arm is not None and arm not in arms:
        raise click.UsageError(f"evaluate.arms has no {arm}; it has {', '.join(arms)}")
    described = arms[arm] if arm else EvaluatedArmParams(prompts="policy", source=model)
    source, k = Path(described.source), 1 if arm else params.rollout.k
    with stage_output(out, Rollout, label=f"rollout {arm or ''}".strip()) as writer:
        rows = writer.read(queries, Query, times=k)
        if arm is None and params.d_dpo.path:
            writer.write(drop_replaced(rows, params.d_dpo.path, k), TALLY)
        elif described.prompts == "query":
            writer.write(untouched(rows, arm), TALLY)
        elif described.prompts == "stored":
            writer.write(stored(rows, *prompts_of(source), arm), TALLY)
        else:
            if k > 1 and not params.rollout.temperature:
                click.echo(
                    f"  rollout: at temperature 0 the {k} samples of a query are one text; k: 1 says it", err=True
                )
            policy = make_policy(source, params.policy)
            rows = rollout(rows, policy, arm or source.name, k, params.rollout, seed)
            writer.write(rows, TALLY, policy.status)
