"""x, p, p_refined -> D_text: the refined prompt over the flawed one (VPO 3.3)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter

import click

from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import stage_output
from schemas.base import Dropped, content_id
from schemas.critique import Critique
from schemas.d_text import DText
from schemas.params import DpoParams
from schemas.reasons import Reason
from schemas.refine import Refine
from schemas.stage import Declaration

RULE = "refined_over_flawed"


def d_text(
    critiques: Iterable[Critique], refined: Mapping[str, Refine], params: DpoParams
) -> Iterator[DText | Dropped]:
    """Yield the pairs of each query, or why it has none. Rows of one query must stand together.

    `refined` maps prompt_id to the row of stage refine. With `pairs_per_query` the choice is by pair_id, which stands
    for the authors' shuffle and needs no seed.
    """
    for query_id, group in groupby(critiques, key=attrgetter("query_id")):
        flawed = {row.prompt_id: row for row in group if not row.aligned}
        better = [refined[prompt_id] for prompt_id in flawed if prompt_id in refined]
        pairs = [make_pair(row, params) for row in better if row.p_refined != row.prompt]
        if pairs:
            yield from sorted(pairs, key=attrgetter("pair_id"))[: params.pairs_per_query]
        elif better:
            yield Dropped(input_id=query_id, reason=Reason.NO_PAIR, detail="every refinement equals its prompt")
        elif flawed:
            yield Dropped(input_id=query_id, reason=Reason.NOT_REFINED, detail=f"{len(flawed)} flawed, none refined")
        else:
            yield Dropped(input_id=query_id, reason=Reason.NO_FLAW)


def make_pair(row: Refine, params: DpoParams) -> DText:
    return DText(
        pair_id=content_id(row.query_id, row.p_refined, row.prompt, "text"),
        query_id=row.query_id,
        query=row.query,
        chosen=row.p_refined,
        rejected=row.prompt,
        source="text",
        rule=RULE,
        chosen_origin="refined",
        target=params.target,
        round=params.round,
        chosen_id=row.p_refined_id,
        rejected_id=row.prompt_id,
        decided_by=row.violated,
        safety=row.safety,
    )


STAGE = Declaration(reads=(Critique, Refine), row=DText, unit="query")


@click.command("d_text")
@click.argument("critique")
@click.argument("refine")
@click.argument("out")
@option
def main(critique: str, refine: str, out: str, params_path: str) -> None:
    """x, p, p_refined -> D_text: pair each flawed prompt with its refinement."""
    params = load_params(params_path)
    with stage_output(out, DText, label="d_text") as writer:
        refined = {row.prompt_id: row for row in read_rows(refine, Refine)}
        writer.write(d_text(writer.read_units(critique, Critique, "query_id"), refined, params.dpo))
