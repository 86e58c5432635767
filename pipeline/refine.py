"""x, p, c -> p_refined: rewrite each flawed prompt by its critique, in the same conversation (VPO 3.2 and Fig. 8)."""

from collections.abc import Iterable, Iterator

import click

from pipeline.backends.teacher import Messages, Teacher, make_teacher
from pipeline.io import stage_output
from pipeline.params import load_params, option
from pipeline.replies import answered, parse_refined
from pipeline.words import Template
from schemas.base import Dropped, content_id
from schemas.critique import Critique
from schemas.params import Critique as CritiqueParams
from schemas.params import Refine as RefineParams
from schemas.reasons import Reason
from schemas.refine import Refine


def refine(
    critiques: Iterable[Critique], teacher: Teacher, params: RefineParams, critique_params: CritiqueParams
) -> Iterator[Refine | Dropped]:
    """Yield p_refined for each flawed prompt; an aligned one leaves with Reason.NO_FLAW."""
    words = Template(params.template), Template(critique_params.template, needs=("query", "prompt"))
    aligned: list[Dropped] = []
    for row, outcome in answered(
        _flawed(critiques, aligned), lambda row: messages(row, *words), teacher, parse, template=words[0].hash
    ):
        if outcome.reason is not None:
            yield Dropped(input_id=row.prompt_id, reason=outcome.reason, detail=outcome.detail)
            continue
        yield Refine(
            **dict(row),
            p_refined=outcome.value,
            p_refined_id=content_id(row.query_id, outcome.value),
            refined_by=outcome.by,
        )
    yield from aligned


def _flawed(critiques: Iterable[Critique], aligned: list[Dropped]) -> Iterator[Critique]:
    for row in critiques:
        if row.aligned:
            aligned.append(Dropped(input_id=row.prompt_id, reason=Reason.NO_FLAW))
        else:
            yield row


def messages(row: Critique, words: Template, critique_words: Template) -> Messages:
    """Continue the conversation in which c was given: the critic's question, c, and the wish to refine."""
    return [
        {"role": "user", "content": critique_words.fill(query=row.query, prompt=row.prompt)},
        {"role": "assistant", "content": row.critique},
        {"role": "user", "content": words.fill(query=row.query, prompt=row.prompt)},
    ]


parse = parse_refined


@click.command("refine")
@click.argument("critiques")
@click.argument("out")
@option
def main(critiques, out, params_path):
    """x, p, c -> p_refined: rewrite each flawed prompt by its critique."""
    params = load_params(params_path)
    with stage_output(out, Refine) as writer:
        teacher = make_teacher(params.teacher, params.world)
        writer.write(refine(writer.read(critiques, Critique), teacher, params.refine, params.critique))
