"""raw -> x: clean, filter, deduplicate and re-judge what users typed, and draw the splits sft, dpo and test.

VPO 3.2, "Query Curation": rule filters, diversity by self-BLEU, safety queries that an LLM has judged again; sizes from
its supplement, 9. The paper gives no thresholds: ours are parameters. A million rows lie in one polars frame, and each
step returns which of its rows leave; only the queries that are left become objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
import numpy as np

from pipeline.backends.sentences import SentenceModel
from pipeline.backends.teacher import make_teacher
from pipeline.curation.arrays import Int64s, UInt64s
from pipeline.curation.benchmark_overlap import count_leakage, drop_overlap
from pipeline.curation.benchmarks import read_benchmarks
from pipeline.curation.draw import Placement, clean_rows, draw_splits
from pipeline.curation.drops import describe_drops, list_duplicates, list_refused
from pipeline.curation.files import guard_file
from pipeline.curation.filters import FilterResult, filter_rows
from pipeline.curation.kept_vectors import embed_rows
from pipeline.curation.outputs import write_splits
from pipeline.curation.plots import Table, tabulate_lengths, tabulate_toxicity
from pipeline.curation.query_ids import spell_ids
from pipeline.curation.rules import OUTCOME, check_readable
from pipeline.curation.saved_state import hash_rules, resume
from pipeline.curation.similar_meaning import EmbedRows, drop_similar_meaning
from pipeline.curation.sources import get_path, join_frames, name_source, read_frames
from pipeline.curation.split import NEAR
from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.pyplot import open_pyplot
from pipeline.runtime.stand_ins import say_if_unreadable
from pipeline.runtime.store import home
from pipeline.text.clean import clean_hash
from pipeline.world.corpus import make_queries
from schemas.base import content_id
from schemas.fewshot import Exemplar
from schemas.params import Params, QueriesParams, SemanticParams
from schemas.queries import Query
from schemas.seams import Teacher
from schemas.stage import Ask, Declaration

if TYPE_CHECKING:
    import polars as pl

Filter: TypeAlias = "Callable[[pl.DataFrame, QueriesParams], FilterResult]"


@dataclass(frozen=True)
class QueriesResult:
    """The queries of all splits in the source's order, a frame of QueryDropped with every other raw row, metrics and
    the tables of the plots."""

    rows: list[Query]
    dropped: pl.DataFrame
    report: dict[str, Any]
    tables: dict[str, Table]


def queries(
    raws: Iterable[pl.DataFrame],
    teacher: Teacher,
    template: Template,
    lists: Mapping[str, Sequence[str]],
    params: QueriesParams,
    seed: int,
    run_filters: Filter = filter_rows,
    embed: EmbedRows | None = None,
) -> QueriesResult:
    """Return the queries of all splits, and why each other raw row left.

    `raws` are frames of pipeline.curation.sources; `lists` are texts that no split may hold, by the list's name: the
    queries of the few-shot demonstrations, benchmark prompts. `run_filters` may remember rows of an earlier run;
    `embed` gives the vectors that `params.semantic` compares.
    Raises DataError when the source holds no rows.
    """
    import polars as pl

    raw = join_frames(check_readable(raw, params) for raw in raws)
    filtered = run_filters(raw, params)
    frame = raw.drop(OUTCOME)
    del raw
    overlap = drop_overlap(filtered, lists, NEAR)
    left, drops = overlap.left, [overlap.drops]
    heads = filtered.facts["query_id"].to_numpy()
    semantic: dict[str, Any] = {}
    if params.semantic and embed:
        passed = filtered.passed
        vectors = embed(heads[left], lambda places: clean_rows(frame, passed[left[places]], params))
        meaning = drop_similar_meaning(left, vectors, params.semantic.threshold, passed, frame["source_id"])
        semantic = {"semantic": {"rows": len(left), "left": len(meaning.left)}}
        left, drops = meaning.left, [*drops, meaning.drops]
    draw = draw_splits(frame, filtered, left, teacher, template, params, seed)
    splits = [placement.split for placement in draw.placements]
    leakage = count_leakage(filtered.tokens.take(draw.rows), splits, lists, NEAR)
    counts = {**overlap.counts, "splits": draw.between_splits}
    report = {
        "self_bleu": filtered.self_bleu,
        "leakage": {"threshold": NEAR, "found_before": counts, **leakage},
        **semantic,
        **draw.report,
    }
    tables = tabulate(frame, filtered, draw.rows)
    everything = pl.concat([list_refused(filtered), list_duplicates(frame["source_id"], filtered), *drops, draw.drops])
    passed = filtered.passed
    del filtered  # a million rows' tokens are hundreds of MB
    rows = make_rows(frame, passed, draw.placements, heads, params)
    return QueriesResult(rows, describe_drops(frame, everything, heads), report, tables)


def tabulate(frame: pl.DataFrame, filtered: FilterResult, drawn: Int64s) -> dict[str, Table]:
    """Return the tables of lengths and toxicity scores of all rows that could be read, and of those that are drawn."""
    scores, words = frame["unsafe_score"].fill_null(float("nan")).to_numpy(), filtered.tokens.lengths
    readable = np.concatenate([words, filtered.refused["words"].drop_nulls().to_numpy()])
    return {
        "lengths": tabulate_lengths(readable, words[drawn]),
        "toxicity": tabulate_toxicity(scores, scores[filtered.passed[drawn]]),
    }


def make_rows(
    frame: pl.DataFrame, passed: Int64s, placements: list[Placement], heads: UInt64s, params: QueriesParams
) -> list[Query]:
    """Return the queries of the drawn rows; `heads` has the id, as a number, of each row that passed the rules."""
    drawn = np.array([placement.row for placement in placements], np.int64)
    rows, source = passed[drawn], name_source(params)
    records = frame.select("text", "source_id", "time", "unsafe_score")[rows]
    return [
        Query(
            query_id=query_id, query=query, split=split, safety=safety, raw=raw, source=source, source_id=source_id,
            time=time, unsafe_score=unsafe_score,
        )
        for (_, split, safety), query_id, query, (raw, source_id, time, unsafe_score) in zip(
            placements, spell_ids(heads[drawn]), clean_rows(frame, rows, params), records.iter_rows(), strict=True
        )
    ]  # fmt: skip


def remember_filters(params: QueriesParams) -> Filter:
    """Return `filter_rows` that keeps its results under $VPO_HOME, for the same source under the same rules."""
    folder = home() / "curation" / f"{hash_rules(params)}-{content_id(name_source(params))}"
    return lambda readable, params: resume(readable, params, folder)


def remember_vectors(params: SemanticParams) -> EmbedRows:
    """Return what embeds queries by the model and keeps their vectors under $VPO_HOME, for every source."""
    model = SentenceModel(params)
    folder = home() / "curation" / "vectors" / model.revision
    return lambda query_ids, get_texts: embed_rows(query_ids, get_texts, model.embed, folder)


@contextmanager
def trace_source(params: QueriesParams) -> Iterator[dict[str, Any]]:
    """Give the metrics that say where the rows come from; raises DataError when a file changed meanwhile."""
    with guard_file(Path(get_path(params))) if params.source == "file" else nullcontext() as digest:
        yield {
            "clean": clean_hash(),
            "source": name_source(params),
            "revision": params.revision,
            "source_sha256": digest,
        }


def read_exemplars(params: Params) -> dict[str, list[str]]:
    """Return the queries of the few-shot demonstrations by their list's name, as `queries` takes them."""
    return {"exemplar": [row.query for row in read_rows(params.fewshot.exemplars, Exemplar)]}


STAGE = Declaration(reads=(), row=Query, unit="raw query", asks=(Ask("teacher", "teacher"),))


@click.command("queries")
@click.argument("sft")
@click.argument("dpo")
@click.argument("test")
@option
def main(sft: str, dpo: str, test: str, params_path: Path) -> None:
    """raw -> x: clean, filter, deduplicate and re-judge what users typed, and draw the splits."""
    params = load_params(params_path)
    say_if_unreadable(params, params.teacher)
    open_pyplot()  # a missing library is an error before the work
    with write_splits({"sft": Path(sft), "dpo": Path(dpo), "test": Path(test)}) as outputs:
        teacher = make_teacher(params.teacher, params.world)
        template = Template(params.queries.recheck_template, ("query",))
        benchmarks, digests = read_benchmarks(params.queries.benchmarks)
        lists = read_exemplars(params) | benchmarks
        sizes = {name: {"prompts": len(prompts), "sha256": digests[name]} for name, prompts in benchmarks.items()}
        corpus = make_queries(params.world.queries, params.base.seed)
        with trace_source(params.queries) as origin:
            raws = outputs.count_in(read_frames(params.queries, corpus))
            run_filters = remember_filters(params.queries)
            embed = remember_vectors(params.queries.semantic) if params.queries.semantic else None
            result = queries(raws, teacher, template, lists, params.queries, params.base.seed, run_filters, embed)
        outputs.rows, outputs.dropped, outputs.tables = result.rows, result.dropped, result.tables
        outputs.report = {"benchmarks": sizes, **origin, **result.report}
        for line in result.report["short"]:
            click.echo(f"  queries: the source is too small: {line}", err=True)
