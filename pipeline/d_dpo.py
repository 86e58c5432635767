"""D_text, D_video -> D_dpo = D_text u D_video (VPO 3.3), by a named rule for queries that have both."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain

import click

from pipeline.curation.ready_queries import part_from_test, read_frame, read_ready_answer
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import Tally, stage_output
from pipeline.runtime.terminal import make_visible
from pipeline.text.balance import draw_balanced
from pipeline.text.preference import drop_undecided
from pipeline.text.ready_records import hash_file
from pipeline.text.ready_sets import read_ready_dpo
from schemas.base import Dropped, Pair, Row, content_id
from schemas.d_dpo import DDpo
from schemas.d_text import DText
from schemas.d_video import DVideo
from schemas.params import DpoParams, Params, TrainedArmParams
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.stage import Declaration

LOSES_WHEN_BOTH = {"both": None, "text": "video", "video": "text"}
"""S1 3.3 takes the union; in the authors' code a query with a text pair loses its video pair."""
DPO = TrainedArmParams()
"""The arm `dpo`, which departs from nothing."""
TALLY: Tally[DDpo] = {"text_pairs": lambda row: row.source == "text", "video_pairs": lambda row: row.source == "video"}


def d_dpo(pairs: Iterable[Pair], params: DpoParams, arm: TrainedArmParams, seed: int = 0) -> Iterator[DDpo | Dropped]:
    """Yield the union's pairs query by query, in the order of `pairs`, or why a query has none left.

    Text and video feedback can be switched off, for all arms or for one; pairs of any other source are taken. With
    `dpo.balance` those go that make length or words alone a shortcut.
    """
    on = {"text": params.text_feedback and arm.text_feedback, "video": params.video_feedback and arm.video_feedback}
    by_query: dict[str, list[Pair]] = defaultdict(list)
    for item in pairs:
        by_query[item.query_id].append(item)
    kept_by_query = {query_id: list_kept(mine, on, params) for query_id, mine in by_query.items()}
    united = [item for kept in kept_by_query.values() for item in kept]
    drawn = united if params.balance == "none" else draw_balanced(united, params.balance)
    drawn_ids = {item.pair_id for item in drawn}
    for query_id, kept in kept_by_query.items():
        left = [item for item in kept if item.pair_id in drawn_ids]
        if not kept:
            off = ", ".join(sorted({item.source for item in by_query[query_id]}))
            yield Dropped(input_id=query_id, reason=Reason.FEEDBACK_OFF, detail=f"has only {off} feedback")
        elif not left:
            detail = f"{len(kept)} pairs, whose {params.balance} alone tells chosen from rejected"
            yield Dropped(input_id=query_id, reason=Reason.UNBALANCED, detail=detail)
        yield from (label_pair(item, arm.labels, seed) for item in left)


def list_kept(mine: Iterable[Pair], on: Mapping[str, bool], params: DpoParams) -> list[Pair]:
    """Return the pairs of one query whose feedback is on, by the rule for queries that have both."""
    kept = [item for item in mine if on.get(item.source, True)]
    if {"text", "video"} <= {item.source for item in kept}:
        return [item for item in kept if item.source != LOSES_WHEN_BOTH[params.when_both]]
    return kept


def read_pairs(sources: Mapping[str, str]) -> Iterator[Pair]:
    """Yield the pairs of every source (name -> file). Raises DataError for a pair that another source made."""
    for name, path in sources.items():
        for row in read_rows(path, Pair):
            if row.source != name:
                raise DataError(f"{path}: a pair of source {row.source}, but dpo.sources names the file for {name}")
            yield row


def gather_pairs(
    params: Params, test: str | None = None, arm: TrainedArmParams = DPO
) -> tuple[list[Pair], list[Dropped], dict[str, str]]:
    """Return the pairs to unite, those that are none and why, and for the metrics the hash of a ready D_dpo.

    `arm` may have a file of video pairs of its own. `test` is the file of the test split, whose queries a ready D_dpo
    must not hold.
    """
    pairs: Iterable[Pair] = read_pairs(params.dpo.sources_of(arm))
    dropped, metrics = list[Dropped](), dict[str, str]()
    if path := params.d_dpo.path:
        frame = read_frame(Template(params.policy.template, needs=("query",)))
        ready = read_ready_dpo(path, params.dpo, params.queries.keep_flags, read_ready_answer, frame)
        ready = part_from_test(ready, test, params.d_dpo.on_leakage, path)
        for note in ready.notes:
            click.echo(make_visible(f"  d_dpo: {note}"), err=True)
        pairs, dropped, metrics = ready.rows, ready.dropped, {"source_sha256": hash_file(path)}
    items = list(drop_undecided(pairs))
    dropped = [*dropped, *(item for item in items if isinstance(item, Dropped))]
    return [item for item in items if isinstance(item, Pair)], dropped, metrics


def count_sources(sources: Iterable[str]) -> dict[str, Callable[[Row], int]]:
    """Return what the metrics count: `text_pairs` and the like, a name for each source."""
    return {f"{name}_pairs": partial(is_from, source=name) for name in sources}


def is_from(row: Row, source: str) -> bool:
    return isinstance(row, Pair) and row.source == source


def label_pair(pair: Pair, labels: str, seed: int) -> DDpo:
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


STAGE = Declaration(reads=(DText, DVideo, Query), row=DDpo, unit="query")


@click.command("d_dpo")
@click.argument("out")
@click.option("--arm", help="An extra arm of dpo.arms; it departs from dpo as described there.")
@click.option("--test", help="The test split: a ready D_dpo must not hold its queries.")
@option
def main(out: str, arm: str | None, test: str | None, params_path: str) -> None:
    """D_text, D_video -> D_dpo: unite the pairs of dpo.sources by the rule for queries that have both."""
    params = load_params(params_path)
    if arm is not None and arm not in params.dpo.arms:
        raise click.UsageError(f"dpo.arms has no {arm}; it has {', '.join(params.dpo.arms) or 'none'}")
    with stage_output(out, DDpo, label=arm or "d_dpo") as writer:
        departures = params.dpo.arms[arm] if arm else DPO
        pairs, dropped, file_hash = gather_pairs(params, test, departures)
        writer.add_metrics(**file_hash)
        writer.units_in = len({pair.query_id for pair in pairs}) + len(dropped)
        items = d_dpo(pairs, params.dpo, departures, params.base.seed)
        writer.write(chain(items, dropped), count_sources(params.dpo.sources))
