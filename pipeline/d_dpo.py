"""D_text, D_video -> D_dpo = D_text u D_video (VPO 3.3), by a named rule for queries that have both."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import click

from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import Tally, stage_output
from pipeline.text.ready_sets import hash_file, read_ready_dpo
from schemas.base import Dropped, Pair, content_id
from schemas.d_dpo import DDpo
from schemas.d_text import DText
from schemas.d_video import DVideo
from schemas.params import DpoParams, TrainedArmParams
from schemas.reasons import Reason
from schemas.stage import Declaration

WHEN_BOTH = {"both": ("text", "video"), "text": ("text",), "video": ("video",)}
"""S1 3.3 takes the union; in the authors' code a query with a text pair loses its video pair."""
TALLY: Tally[DDpo] = {"text_pairs": lambda row: row.source == "text", "video_pairs": lambda row: row.source == "video"}


def d_dpo(pairs: Iterable[Pair], params: DpoParams, arm: TrainedArmParams, seed: int = 0) -> Iterator[DDpo | Dropped]:
    """Yield the union's pairs, text before video, or why a query has none left."""
    wanted = {"text": params.text_feedback and arm.text_feedback, "video": params.video_feedback and arm.video_feedback}
    by_query: dict[str, list[Pair]] = defaultdict(list)
    for item in pairs:
        by_query[item.query_id].append(item)
    for query_id, mine in by_query.items():
        kept = [item for item in mine if wanted[item.source]]
        if {item.source for item in kept} == {"text", "video"}:
            kept = [item for item in kept if item.source in WHEN_BOTH[params.when_both]]
        if not kept:
            off = ", ".join(sorted({item.source for item in mine}))
            yield Dropped(input_id=query_id, reason=Reason.FEEDBACK_OFF, detail=f"has only {off} feedback")
        yield from (labelled(item, arm.labels, seed) for item in kept)


def labelled(pair: Pair, labels: str, seed: int) -> DDpo:
    """Return the pair as it is, or with chosen and rejected exchanged: a control that must fail (ours)."""
    flip = labels == "flipped" or (labels == "random" and int(content_id(pair.pair_id, seed), 16) % 2 == 1)
    row = pair.model_dump()
    if labels != "kept":
        row["rule"] += f", labels {labels}"
    if flip:
        for one, other in (("chosen", "rejected"), ("score_chosen", "score_rejected"), ("chosen_id", "rejected_id")):
            row[one], row[other] = row[other], row[one]
        row["chosen_origin"] = "policy"  # the loser of either feedback is a prompt of the policy
        row["pair_id"] = content_id(row["query_id"], row["chosen"], row["rejected"], row["source"])
    return DDpo(**row)


STAGE = Declaration(reads=(DText, DVideo), row=DDpo, unit="query")


@click.command("d_dpo")
@click.argument("d_text")
@click.argument("d_video")
@click.argument("out")
@click.option("--arm", help="An extra arm of dpo.arms; it departs from dpo as described there.")
@option
def main(d_text, d_video, out, arm, params_path):
    """D_text, D_video -> D_dpo: unite the pairs by the rule for queries that have both."""
    params = load_params(params_path)
    if arm is not None and arm not in params.dpo.arms:
        raise click.UsageError(f"dpo.arms has no {arm}; it has {', '.join(params.dpo.arms) or 'none'}")
    described = params.dpo.arms[arm] if arm else TrainedArmParams()
    with stage_output(out, DDpo, label=arm or "d_dpo") as writer:
        if params.d_dpo.path:
            pairs = list(read_ready_dpo(params.d_dpo.path, params.dpo, params.queries.keep_flags))
            writer.add_metrics(source_sha256=hash_file(params.d_dpo.path))
        else:
            pairs = [*read_rows(d_text, DText), *read_rows(d_video, DVideo)]
        writer.units_in = len({pair.query_id for pair in pairs})
        writer.write(d_dpo(pairs, params.dpo, described, params.base.seed), TALLY)
