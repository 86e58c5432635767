"""x -> p: write a prompt for each query by in-context learning (VPO 3.2 and Fig. 7)."""

from collections.abc import Iterable, Iterator

import click

from pipeline.backends.teacher import make_teacher
from pipeline.llm.answer_forms import PROMPT
from pipeline.llm.rounds import ask_teacher
from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import stage_output
from pipeline.runtime.stand_ins import say_if_unreadable
from pipeline.text.ready_sets import drop_replaced
from schemas.base import Dropped, content_id
from schemas.fewshot import Exemplar, Fewshot
from schemas.params import FewshotParams
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.seams import Messages, Teacher
from schemas.stage import Ask, Declaration


def fewshot(queries: Iterable[Query], teacher: Teacher, params: FewshotParams) -> Iterator[Fewshot | Dropped]:
    """Yield one prompt for each query, or why there is none. Raises DataError for a wrong template or exemplar."""
    words, exemplars = Template(params.template, needs=("query",)), list(read_rows(params.exemplars, Exemplar))
    for row, outcome in ask_teacher(
        queries, lambda row: messages(row, words, exemplars), teacher, parse, template=words.hash
    ):
        if outcome.value is None or outcome.by is None:
            reason = outcome.reason or Reason.FAILED
            yield Dropped(input_id=row.query_id, reason=reason, detail=outcome.detail, arm=ARM)
            continue
        yield Fewshot(
            query_id=row.query_id,
            query=row.query,
            split=row.split,
            safety=row.safety,
            prompt_id=content_id(row.query_id, outcome.value),
            prompt=outcome.value,
            arm=ARM,
            sample=0,
            written_by=outcome.by,
        )


def messages(row: Query, words: Template, exemplars: list[Exemplar]) -> Messages:
    return [{"role": "user", "content": words.fill(query=row.query, exemplars=[dict(item) for item in exemplars])}]


parse = PROMPT
ARM = "fewshot"


STAGE = Declaration(reads=(Query,), row=Fewshot, unit="query", asks=(Ask("teacher", "teacher"),))


@click.command("fewshot")
@click.argument("queries")
@click.argument("out")
@click.option("--lane", default="sft", show_default=True, help="In lane sft a ready D_SFT makes this stage idle.")
@option
def main(queries: str, out: str, lane: str, params_path: str) -> None:
    """x -> p: write a prompt for each query by in-context learning."""
    params = load_params(params_path)
    say_if_unreadable(params, params.teacher)
    with stage_output(out, Fewshot) as writer:
        rows = writer.read(queries, Query)
        if lane == "sft" and params.d_sft.path:
            writer.write(drop_replaced(rows, params.d_sft.path))
        else:
            teacher = make_teacher(params.teacher, params.world)
            writer.write(fewshot(rows, teacher, params.fewshot), status=teacher.status, limit=params.base)
