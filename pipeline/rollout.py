"""x -> p_1..p_K: sample K prompts a query from the policy (VPO 3.3, "Data Sampling"); one for each arm compared."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import tee
from pathlib import Path

import click

from pipeline.backends.policy import make_policy
from pipeline.backends.teacher import make_teacher
from pipeline.evaluation.prompt_sources import (
    ask_llm,
    copy_prompts,
    copy_queries,
    drop_untrained,
    make_rollout,
    read_stored_prompts,
    take_from_file,
)
from pipeline.evaluation.serving import serve_failures
from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.set_aside import read_set_aside
from pipeline.runtime.stage_output import Tally, stage_output
from pipeline.runtime.stand_ins import say_if_unreadable
from pipeline.text.ready_sets import drop_replaced
from schemas.base import Dropped
from schemas.fewshot import Exemplar, Fewshot
from schemas.params import (
    ArmParams,
    FileArmParams,
    LlmArmParams,
    Params,
    PolicyArmParams,
    QueryArmParams,
    SamplingParams,
    StoredArmParams,
)
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.rollout import Rollout
from schemas.seams import Policy, Teacher
from schemas.stage import Ask, Declaration

Items = Iterator[Rollout | Dropped]
Write = Callable[[Iterable[Query]], Items]
"""Makes the prompts of queries, or says why there is none."""


def rollout(
    queries: Iterable[Query],
    policy: Policy,
    arm: str,
    k: int,
    sampling: SamplingParams,
    seed: int,
    suite: str | None = None,
) -> Items:
    """Yield k rows a query, or why a sample is none; a dropped sample's id is query_id/sample.

    A sample that repeats an earlier one of its query is marked and stays: `render` makes one clip of both.
    """
    to_ask, rows = tee(queries)
    outcomes = policy.map(to_ask, k, sampling, seed)
    for row in rows:
        samples: dict[str, int] = {}
        for sample in range(k):
            outcome = next(outcomes)
            if outcome.value is None or outcome.by is None:
                yield Dropped(
                    input_id=f"{row.query_id}/{sample}",
                    reason=outcome.reason or Reason.FAILED,
                    detail=outcome.detail,
                    suite=suite,
                    arm=arm,
                )
                continue
            first = samples.setdefault(outcome.value, sample)
            yield make_rollout(
                row, outcome.value, outcome.by, arm=arm, suite=suite, sample=sample,
                duplicate_of=None if first == sample else first,
            )  # fmt: skip


def writer_of_arm(suite: str, arm: str, params: Params) -> tuple[Write, Policy | Teacher | None]:
    """Return what writes the one prompt a query of an arm, and the backend behind it, None where nothing is asked."""
    description: ArmParams = params.evaluate.arms[arm]
    source = Path(description.source)
    match description:
        case QueryArmParams():
            return partial(copy_queries, arm=arm, suite=suite), None
        case StoredArmParams():
            return partial(copy_prompts, stored=read_stored_prompts(source), arm=arm, suite=suite), None
        case FileArmParams():
            keep_flags = params.queries.keep_flags
            return partial(take_from_file, params=description, keep_flags=keep_flags, arm=arm, suite=suite), None
        case LlmArmParams():
            teacher = make_teacher(description.teacher, params.world)
            template = Template(source, needs=("query",))
            exemplars = list(read_rows(params.fewshot.exemplars, Exemplar))
            return partial(
                ask_llm, teacher=teacher, template=template, exemplars=exemplars, arm=arm, suite=suite
            ), teacher
        case PolicyArmParams() if (why := read_set_aside(source)) is not None:
            return partial(drop_untrained, why=why, arm=arm, suite=suite), None
        case PolicyArmParams():
            policy = make_policy(source, params.policy)
            return partial(
                rollout, policy=policy, arm=arm, k=1, sampling=params.optimize, seed=params.base.seed, suite=suite
            ), policy


def writer_of_samples(model: Path, params: Params) -> tuple[Write, Policy | None]:
    """Return what writes the K prompts a query that preference training begins with, and the policy behind it.

    A ready D_dpo (`d_dpo.path`) takes their place, and no policy is loaded.
    """
    k = params.rollout.k
    if params.d_dpo.path:
        return partial(drop_replaced, path=params.d_dpo.path, times=k), None
    if k > 1 and not params.rollout.temperature:
        click.echo(f"  rollout: at temperature 0 the {k} samples of a query are one text; k: 1 says it", err=True)
    policy = make_policy(model, params.policy)
    return partial(rollout, policy=policy, arm=model.name, k=k, sampling=params.rollout, seed=params.base.seed), policy


def chosen_writer(
    model: str | None, suite: str | None, arm: str | None, params: Params
) -> tuple[Write, Policy | Teacher | None]:
    """Return the writer that the command's words name. Raises UsageError where they name none."""
    if arm is None and model is None:
        raise click.UsageError("name the folder of the model behind QUERIES, or a --suite and an --arm")
    if arm is None:
        return writer_of_samples(Path(model or ""), params)
    for option_name, name, described in (("arm", arm, params.evaluate.arms), ("suite", suite, params.evaluate.suites)):
        if name not in described:
            raise click.UsageError(f"evaluate.{option_name}s has no {name}; it has {', '.join(described)}")
    write, backend = writer_of_arm(str(suite), arm, params)
    return partial(serve_failures, write=write, params=params.optimize, arm=arm, suite=suite), backend


TALLY: Tally[Rollout] = {
    "duplicates": lambda row: row.duplicate_of is not None,
    "looping": lambda row: row.loops,
    "query_served": lambda row: row.served == "query",
}
"""what is marked, for the stage's metrics"""
OF_AN_ARM = {Reason.EMPTY, Reason.REFUSED, Reason.TRUNCATED, Reason.UNPARSED, Reason.GARBLED}
"""what an arm does with a query, which `evaluate` counts: a bad arm is compared and stops nothing"""


def is_written_by_policy(params: Params, options: Sequence[str]) -> bool:
    """Tell whether the command asks the policy: all but the arms whose prompts are there already do."""
    if "--arm" not in options:
        return params.d_dpo.path is None
    arm = params.evaluate.arms.get(options[options.index("--arm") + 1])
    return arm is not None and arm.prompts == "policy"


def is_written_by_llm(params: Params, options: Sequence[str]) -> bool:
    """Tell whether the command is of an arm whose prompts an LLM of its own writes."""
    arm = params.evaluate.arms.get(options[options.index("--arm") + 1]) if "--arm" in options else None
    return arm is not None and arm.prompts == "llm"


STAGE = Declaration(
    reads=(Query, Fewshot, Rollout),
    row=Rollout,
    unit="sample of a query",
    asks=(
        Ask("policy", "policy", when=is_written_by_policy),
        Ask("teacher", "evaluate.arms.*.teacher", when=is_written_by_llm),
    ),
)


@click.command("rollout")
@click.argument("inputs", nargs=-1, required=True, metavar="QUERIES [MODEL]")
@click.argument("out")
@click.option("--suite", help="A suite of evaluate.suites, whose queries QUERIES holds; goes with --arm.")
@click.option("--arm", help="An arm of evaluate.arms: one prompt a query, from the source named there.")
@option
def main(inputs: tuple[str, ...], out: str, suite: str | None, arm: str | None, params_path: str) -> None:
    """x -> p_1..p_K: sample prompts from the policy."""
    params = load_params(params_path)
    say_if_unreadable(params, params.base_model)
    queries, model = (*inputs, None)[:2]
    write, backend = chosen_writer(model, suite, arm, params)
    with stage_output(out, Rollout, label=f"rollout {arm or ''}".strip()) as writer:
        rows = writer.read(str(queries), Query, times=1 if arm else params.rollout.k)
        status, limit = (backend.status, params.base) if backend else (None, None)
        writer.write(write(rows), TALLY, status, limit, measured=OF_AN_ARM if arm else ())
