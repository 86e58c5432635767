"""x, p -> c: judge each prompt by the three principles, harmless, accurate and helpful (VPO 3.2 and Fig. 8)."""

from collections.abc import Iterable, Iterator

import click

from pipeline.backends.teacher import Messages, Teacher, make_teacher
from pipeline.io import stage_output
from pipeline.params import load_params, option
from pipeline.replies import answered, parse_verdict
from pipeline.words import Template
from schemas.base import Dropped, Prompt
from schemas.critique import Critique
from schemas.params import Critique as CritiqueParams


def critique(prompts: Iterable[Prompt], teacher: Teacher, params: CritiqueParams) -> Iterator[Critique | Dropped]:
    """Yield the verdict on each prompt, or why there is none."""
    words = Template(params.template, needs=("query", "prompt"))
    for row, outcome in answered(prompts, lambda row: messages(row, words), teacher, parse, template=words.hash):
        if outcome.reason is not None:
            yield Dropped(input_id=row.prompt_id, reason=outcome.reason, detail=outcome.detail)
            continue
        verdict = outcome.value
        yield Critique(
            **dict(row),
            aligned=verdict.aligned,
            violated=verdict.violated,
            critique=verdict.reasoning,
            critique_by=outcome.by,
        )


def messages(row: Prompt, words: Template) -> Messages:
    return [{"role": "user", "content": words.fill(query=row.query, prompt=row.prompt)}]


parse = parse_verdict


@click.command("critique")
@click.argument("prompts")
@click.argument("out")
@click.option("--judge", is_flag=True, help="Ask the judge instead of the teacher, as the eval lane does.")
@option
def main(prompts, out, judge, params_path):
    """x, p -> c: judge each prompt by the three principles."""
    params = load_params(params_path)
    with stage_output(out, Critique) as writer:
        teacher = make_teacher(params.judge if judge else params.teacher, params.world)
        writer.write(critique(writer.read(prompts, Prompt), teacher, params.critique))
