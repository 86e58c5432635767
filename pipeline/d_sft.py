"""x, p, c, p_refined -> D_SFT = {(x, s)}: s = p where the critic found nothing, else p_refined (VPO 3.2)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import click

from pipeline.curation.ready_queries import part_from_test, read_frame, read_ready_answer
from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import Tally, stage_output
from pipeline.runtime.terminal import make_visible
from pipeline.text.ready_records import hash_file
from pipeline.text.ready_sets import read_ready_sft
from schemas.base import Dropped
from schemas.critique import Critique
from schemas.d_sft import DSft
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.refine import Refine
from schemas.stage import Declaration

TALLY: Tally[DSft] = {"refined": lambda row: row.refined}


def d_sft(critiques: Iterable[Critique], refined: Mapping[str, Refine]) -> Iterator[DSft | Dropped]:
    """Yield one row a query, or why it has none; `refined` maps prompt_id to the row of stage refine."""
    for row in critiques:
        shared = row.model_dump(exclude={"aligned", "critique", "critique_by", "votes"})
        if row.aligned:
            yield DSft(**shared, refined=False)
        elif better := refined.get(row.prompt_id):
            shared |= {
                "prompt": better.p_refined,
                "prompt_id": better.p_refined_id,
                "written_by": better.refined_by.model_dump(),
            }
            yield DSft(**shared, refined=True)
        else:
            yield Dropped(input_id=row.query_id, reason=Reason.NOT_REFINED, detail="flawed, and refine gave nothing")


STAGE = Declaration(reads=(Critique, Refine, Query), row=DSft, unit="query")


@click.command("d_sft")
@click.argument("critique")
@click.argument("refine")
@click.argument("out")
@click.option("--test", help="The test split: a ready D_SFT must not hold its queries.")
@option
def main(critique: str, refine: str, out: str, test: str | None, params_path: str) -> None:
    """x, p, c, p_refined -> D_SFT: keep p where nothing was wrong with it, else its refinement."""
    params = load_params(params_path)
    with stage_output(out, DSft, label="d_sft") as writer:
        if params.d_sft.path:
            frame = read_frame(Template(params.policy.template, needs=("query",)))
            ready = read_ready_sft(params.d_sft.path, params.queries.keep_flags, read_ready_answer, frame)
            ready = part_from_test(ready, test, params.d_sft.on_leakage, params.d_sft.path)
            for note in ready.notes:
                click.echo(make_visible(f"  d_sft: {note}"), err=True)
            writer.units_in = len({row.query_id for row in ready.rows}) + len(ready.dropped)
            writer.add_metrics(source_sha256=hash_file(params.d_sft.path))
            writer.write(chain[DSft | Dropped](ready.rows, ready.dropped), TALLY)
        else:
            refined = {row.prompt_id: row for row in read_rows(refine, Refine)}
            writer.write(d_sft(writer.read(critique, Critique), refined), TALLY)
