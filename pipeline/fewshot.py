"""x -> p: write a prompt for each query by in-context learning (VPO 3.2 and Fig. 7)."""

from collections.abc import Iterable, Iterator

import click

from pipeline.backends.teacher import make_teacher
from pipeline.llm.answer_forms import PROMPT
from pipeline.llm.replies import answered
from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows, stage_output
from pipeline.runtime.params_file import load_params, option
from pipeline.text.ready_sets import replaced
from schemas.base import Dropped, content_id
from schemas.fewshot import Exemplar, Fewshot
from schemas.params import FewshotParams
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.seams import Messages, Teacher


def fewshot(queries: Iterable[Query], teacher: Teacher, params: FewshotParams) -> Iterator[Fewshot | Dropped]:
    """Yield one prompt for each query, or why there is none. Raises DataError for a wrong template or exemplar."""
    words, exemplars = Template(params.template, needs=("query",)), list(read_rows(params.exemplars, Exemplar))
    for row, outcome in answered(
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


@click.command("fewshot")
@click.argument("queries")
@click.argument("out")
@click.option("--lane", default="sft", show_default=True, help="In lane sft a ready D_SFT makes this stage idle.")
@option
def main(queries: str, out: str, lane: str, params_path: str) -> None:
    """x -> p: write a prompt for each query by in-context learning."""
    params = load_params(params_path)
    with stage_output(out, Fewshot) as writer:
        rows = writer.read(queries, Query)
        if lane == "sft" and params.d_sft.path:
            writer.write(replaced(rows, params.d_sft.path))
        else:
            teacher = make_teacher(params.teacher, params.world)
            writer.write(fewshot(rows, teacher, params.fewshot), status=teacher.status)
