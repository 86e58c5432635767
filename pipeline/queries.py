"""raw -> x: clean, filter, deduplicate and re-judge what users typed, and draw the splits sft, dpo and test.

VPO 3.2, "Query Curation": rule filters, diversity by self-BLEU, safety queries that an LLM has judged again; sizes from
its supplement, 9. The paper gives no thresholds: ours are parameters. A million rows lie in one polars frame, and a
step tells which of its rows leave; only the queries that are left become objects.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
import numpy as np

from pipeline.backends.teacher import make_teacher
from pipeline.curation.benchmarks import leakage, read_benchmarks, told
from pipeline.curation.curated import Curated, curated
from pipeline.curation.files import unchanged
from pipeline.curation.normalise import merged, normalised
from pipeline.curation.outputs import Outputs, split_outputs
from pipeline.curation.plots import lengths, toxicity
from pipeline.curation.read import gathered, read, source_name
from pipeline.curation.resume import resumed, rule_hash
from pipeline.curation.rules import NOT_KEPT, OUTCOME, opened
from pipeline.curation.safety import recheck
from pipeline.curation.sample import coverage, draw_order
from pipeline.curation.split import NEAR, Left, Splits, sizes, spelled
from pipeline.curation.unlike import resembling
from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.progress import progress
from pipeline.runtime.pyplot import pyplot
from pipeline.runtime.store import home
from pipeline.text.clean import clean_hash
from pipeline.world.corpus import synthetic_queries
from schemas.base import Split, content_id
from schemas.fewshot import Exemplar
from schemas.params import Params, QueriesParams
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.seams import Outcome, Teacher
from schemas.stage import Ask, Declaration

LEAST_ASKED = 16  # candidates in a round of questions: waiting for one answer at a time costs more than a few calls


def queries(
    raws: Iterable,
    teacher: Teacher,
    template: Template,
    lists: Mapping[str, Sequence[str]],
    params: QueriesParams,
    seed: int,
    report: dict,
    curate: Callable[..., Curated] = curated,
    plots: dict | None = None,
) -> tuple[list[Query], object]:
    """Return the queries of all splits in the source's order, and a frame of QueryDropped with every other raw row.

    `raws` are frames of pipeline.curation.read; `lists` are texts that no split may hold, by the list's name: the
    queries of the few-shot demonstrations, benchmark prompts. Counts that rows do not tell go into `report`, tables
    into `plots`. `curate` may know what becomes of rows that it has seen before.
    """
    import polars as pl

    raw = gathered(opened(raw, params) for raw in raws)
    found = curate(raw, params)
    report["self_bleu"] = found.self_bleu
    frame, passed = raw.drop(OUTCOME), found.passed
    del raw
    rows, listed = _unlike(found, lists, report)
    placed, not_drawn = _drawn(frame, found, rows, teacher, template, params, seed, report)
    drawn = np.array([row for row, *_ in placed], np.int64)
    report["leakage"] |= leakage(found.tokens.take(drawn), [split for _, split, _ in placed], lists, NEAR)
    if plots is not None:
        plots |= _plotted(frame, found, drawn)
    left = pl.concat([_by_rules(found), _repeated(frame, found), listed, not_drawn])
    ids = found.told["query_id"].to_numpy()
    del found  # a million rows' tokens are hundreds of MB
    return _kept(frame, passed, placed, ids, params), _dropped(frame, left, ids)


def _leaving(rows: np.ndarray, reason, detail, score=None, witness=None):
    """Return a frame that says why these rows leave; `witness` is which of those that passed each leaves for."""
    import polars as pl

    columns = {"row": rows, "reason": reason, "detail": detail, "score": score, "witness": witness}
    kinds = dict(zip(columns, (pl.Int64, pl.String, pl.String, pl.Float64, pl.Int64), strict=True))
    series = pl.Series("row", rows, pl.Int64).to_frame()
    return series.with_columns(
        pl.lit(value, kinds[name]).alias(name)
        if value is None or isinstance(value, str)
        else pl.Series(name, value, kinds[name])
        for name, value in columns.items()
        if name != "row"
    )


def _by_rules(found: Curated):
    import polars as pl

    return found.ruled.select("row", "reason", "detail", "score", witness=pl.lit(None, pl.Int64))


def _repeated(frame, found: Curated):
    passed, gone = found.passed, np.flatnonzero(~found.found.kept)
    witness = found.found.row[gone]
    reason = np.where(found.found.same[gone], Reason.DUPLICATE.value, Reason.SIMILAR.value).tolist()
    detail = "to " + frame["source_id"].gather(passed[witness])
    return _leaving(passed[gone], reason, detail, found.found.score[gone], witness)


def _unlike(found: Curated, lists: Mapping[str, Sequence[str]], report: dict) -> tuple[np.ndarray, object]:
    """Drop what resembles a benchmark's prompt, or a query whose prompt the teacher is shown: it would be no test.

    Returns which of those that passed the rules are left, by index, and why the others leave.
    """
    stays = found.found.kept
    kept = np.flatnonzero(stays)
    listed = [(name, number, text) for name, texts in lists.items() for number, text in enumerate(texts)]
    gone, which, score = resembling(found.tokens, kept, [text for *_, text in listed], NEAR)
    detail = [told(*listed[number]) for number in which]
    counts = Counter(listed[number][0] for number in which)
    report["leakage"] = {"threshold": NEAR, "found_before": {name: counts[name] for name in lists}}
    stays[gone] = False
    return np.flatnonzero(stays), _leaving(found.passed[gone], Reason.BENCHMARK.value, detail, score)


def _drawn(
    frame, found: Curated, rows: np.ndarray, teacher: Teacher, template: Template, params: QueriesParams, seed: int,
    report: dict,
) -> tuple[list[tuple[int, Split, bool]], object]:  # fmt: skip
    """Draw the splits: safety queries first, asking about hardly more candidates than it takes, then general ones.

    `rows` are those that are left, by their index among those that passed the rules. Returns (row, split, safety) of
    the placed in the source's order, and why the others leave.
    """
    passed, by_kind = found.passed, found.strata.take(rows)
    ids = spelled(found.told["query_id"].to_numpy()[rows])
    splits = Splits(found.tokens, sizes(params, safety=False), sizes(params, safety=True))
    suspect = _suspects(frame["unsafe_score"].gather(passed), found, params.unsafe_threshold)
    weighed = params.sample == "stratified"
    order = rows[draw_order(ids, seed, by_kind if weighed else None, params.sample_balance, params.sample_weights)]
    suspects = order[suspect[order]]
    answers: dict[int, Outcome[bool]] = {}
    fates: dict[int, Split | Left] = {}
    while (lacking := splits.missing(safety=True)) and len(answers) < len(suspects):
        asked = suspects[len(answers) :][: max(lacking, LEAST_ASKED)]
        outcomes = recheck(_cleaned(frame, passed[asked], params), teacher, template)
        judged = {int(row): outcome for row, (_, outcome) in zip(asked, outcomes, strict=True)}
        answers |= judged
        unsafe = [row for row, outcome in judged.items() if outcome.value]
        fates |= splits.place(np.array(unsafe, np.int64), safety=True)
        full = Left("the splits are full")
        fates |= {row: full for row in unsafe if row not in fates}
    harmless = np.zeros(len(passed), bool)
    harmless[[row for row, outcome in answers.items() if outcome.value is False]] = True
    fates |= splits.place(order[~suspect[order] | harmless[order]], safety=False)
    report["recheck"] = {
        "candidates": len(suspects),
        "asked": len(answers),
        "unsafe": sum(outcome.value is True for outcome in answers.values()),
        "not_unsafe": int(harmless.sum()),
        "template": template.hash,
    }
    report["splits"], report["short"] = splits.filled(), splits.short()
    safety = {row for row, outcome in answers.items() if outcome.value}
    placed = [(row, fate, row in safety) for row, fate in sorted(fates.items()) if fate in SPLITS]
    between = [fate for fate in fates.values() if isinstance(fate, Left) and fate.row is not None]
    report["leakage"]["found_before"]["splits"] = len(between)
    drawn = np.searchsorted(rows, [row for row, *_ in placed])
    report["sample"] = {"by": params.sample, "rows": len(rows), "coverage": coverage(by_kind, drawn)}
    return placed, _not_drawn(passed, rows, fates, answers, suspect)


def _cleaned(frame, rows: np.ndarray, params: QueriesParams) -> list[str]:
    return normalised(frame["text"].gather(rows), params.keep_flags)["query"].to_list()


SPLITS = ("sft", "dpo", "test")


def _plotted(frame, found: Curated, drawn: np.ndarray) -> dict:
    """Return the tables of lengths and toxicity scores of all rows that could be read, and of those that are drawn."""
    scores, words = frame["unsafe_score"].fill_null(float("nan")).to_numpy(), found.tokens.lengths
    readable = np.concatenate([words, found.ruled["words"].drop_nulls().to_numpy()])
    return {
        "lengths": lengths(readable, words[drawn]),
        "toxicity": toxicity(scores, scores[found.passed[drawn]]),
    }


def _suspects(scores, found: Curated, threshold: float) -> np.ndarray:
    """Return where the source's scores or our terms call for a second look; neither decides (S1 3.2)."""
    return ((scores.fill_null(0.0) > threshold) | found.told["candidate"]).to_numpy()


def _not_drawn(passed: np.ndarray, rows: np.ndarray, fates: dict, answers: dict, suspect: np.ndarray):
    """Return why `rows` are in no split: most were simply not drawn, some have a fate or an answer of their own."""
    import polars as pl

    told = {}
    for row, fate in fates.items():
        if isinstance(fate, Left):
            told[row] = (Reason.NOT_SAMPLED.value, fate.detail, fate.score, fate.row)
    for row, outcome in answers.items():
        if outcome.value is None:
            told[row] = (outcome.reason, f"safety re-check: {outcome.detail}", None, None)
    plain = np.zeros(len(passed), bool)
    plain[rows] = True
    plain[[*fates, *told]] = False
    unjudged = suspect.copy()
    unjudged[list(answers)] = False
    detail = pl.Series(unjudged[plain]).replace_strict(
        [True, False], ["a safety candidate; enough others were judged", "the splits are full"], return_dtype=pl.String
    )
    columns = zip(*((int(passed[row]), *why) for row, why in sorted(told.items())), strict=True) if told else [[]] * 5
    row, *why = map(list, columns)
    return pl.concat([_leaving(passed[plain], Reason.NOT_SAMPLED.value, detail), _leaving(row, *why)])


def _kept(frame, passed: np.ndarray, placed: list[tuple[int, Split, bool]], ids: np.ndarray, params: QueriesParams):
    at = np.array([row for row, *_ in placed], np.int64)
    rows, source = passed[at], source_name(params)
    records = frame.select("text", "source_id", "time", "unsafe_score")[rows]
    return [
        Query(
            query_id=query_id, query=query, split=split, safety=safety, raw=raw, source=source, source_id=source_id,
            time=time, unsafe_score=unsafe_score,
        )
        for (_, split, safety), query_id, query, (raw, source_id, time, unsafe_score) in zip(
            placed, spelled(ids[at]), _cleaned(frame, rows, params), records.iter_rows(), strict=True
        )
    ]  # fmt: skip


def _dropped(frame, leaving, ids: np.ndarray):
    """Return the columns of QueryDropped in the source's order; what may not be kept is there as a hash alone."""
    import polars as pl

    leaving = leaving.sort("row")
    witness, none = leaving["witness"], pl.repeat(None, len(leaving), dtype=pl.String, eager=True)
    gone = pl.col("reason").is_in([reason.value for reason in NOT_KEPT])
    dropped = leaving.with_columns(
        input_id=frame["source_id"].gather(leaving["row"]),
        raw=frame["text"].gather(leaving["row"]),
        witness_id=merged(witness.is_null(), none, spelled(ids[witness.drop_nulls()])),
    )
    detail = pl.when(pl.col("detail") == "").then(pl.lit("")).otherwise(pl.col("detail") + "; ")
    digest = pl.col("raw").map_elements(lambda text: hashlib.sha256(text.encode()).hexdigest(), return_dtype=pl.String)
    hidden = dropped.select("row", "detail", "raw", "reason").filter(gone)
    hidden = hidden.select("row", hashed=detail + "the text is not kept, its SHA-256 is " + digest)
    return dropped.join(hidden, on="row", how="left", maintain_order="left").select(
        "input_id", "reason", pl.coalesce("hashed", "detail").alias("detail"), pl.when(~gone).then("raw").alias("raw"),
        "witness_id", "score",
    )  # fmt: skip


def _counted(frames: Iterable, made: Outputs) -> Iterator:
    """Pass frames on, count their rows, and say now and then how many have been read."""
    with progress("queries") as at:
        for frame in frames:
            made.units_in += len(frame)
            yield frame
            at(made.units_in, None)


def remembered(params: QueriesParams) -> Callable[..., Curated]:
    """Return `curated` with what an earlier run found for the same source under the same rules."""
    folder = home() / "curation" / f"{rule_hash(params)}-{content_id(source_name(params))}"
    return lambda opened, params: resumed(opened, params, folder)


@contextmanager
def traced(params: QueriesParams, report: dict) -> Iterator[None]:
    """Record in `report` where the rows come from; a file from outside may not change meanwhile."""
    report |= {"clean": clean_hash(), "source": source_name(params), "revision": params.revision}
    with unchanged(Path(params.path)) if params.source == "file" else nullcontext() as digest:
        report["source_sha256"] = digest
        yield


def exemplars(params: Params) -> dict[str, list[str]]:
    """Return the queries of the few-shot demonstrations by their list's name, as `queries` takes them."""
    return {"exemplar": [row.query for row in read_rows(params.fewshot.exemplars, Exemplar)]}


STAGE = Declaration(reads=(), row=Query, unit="raw query", asks=(Ask("teacher", "teacher"),))


@click.command("queries")
@click.argument("sft")
@click.argument("dpo")
@click.argument("test")
@option
def main(sft, dpo, test, params_path):
    """raw -> x: clean, filter, deduplicate and re-judge what users typed, and draw the splits."""
    params = load_params(params_path)
    pyplot()  # a missing library is to be told before the work
    with split_outputs({"sft": Path(sft), "dpo": Path(dpo), "test": Path(test)}) as made:
        teacher = make_teacher(params.teacher, params.world)
        template = Template(params.queries.recheck_template, ("query",))
        benchmarks, digests = read_benchmarks(params.queries.benchmarks)
        lists = exemplars(params) | benchmarks
        made.extra["benchmarks"] = {
            name: {"prompts": len(prompts), "sha256": digests[name]} for name, prompts in benchmarks.items()
        }
        corpus = synthetic_queries(params.world.queries, params.base.seed)
        with traced(params.queries, made.extra):
            raws = _counted(read(params.queries, corpus), made)
            made.rows, made.dropped = queries(
                raws,
                teacher,
                template,
                lists,
                params.queries,
                params.base.seed,
                made.extra,
                remembered(params.queries),
                made.plots,
            )
        for line in made.extra["short"]:
            click.echo(f"  queries: the source is too small: {line}", err=True)
