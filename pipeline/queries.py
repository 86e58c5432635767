"""raw -> x: clean, filter, deduplicate and re-judge what users typed, and draw the splits sft, dpo and test.

VPO 3.2, "Query Curation": rule filters, diversity by self-BLEU, safety queries that an LLM has judged again; sizes from
its supplement, 9. The paper gives no thresholds: ours are parameters.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import click

from pipeline.backends import Outcome
from pipeline.backends.teacher import Teacher, make_teacher
from pipeline.clean import clean, clean_hash, tokens
from pipeline.curation.diverse import diverse
from pipeline.curation.files import unchanged
from pipeline.curation.outputs import split_outputs
from pipeline.curation.prohibited import prohibited
from pipeline.curation.read import Raw, read, source_name
from pipeline.curation.rules import Fault, fault
from pipeline.curation.safety import recheck
from pipeline.curation.self_bleu import self_bleu
from pipeline.curation.similar import SimilarIndex
from pipeline.curation.split import NEAR, Left, Splits, drawn, sizes
from pipeline.curation.unsafe_terms import candidate
from pipeline.io import read_rows
from pipeline.params import load_params, option
from pipeline.words import Template
from pipeline.world.corpus import synthetic_queries
from schemas.base import Split, content_id
from schemas.fewshot import Exemplar
from schemas.params import Queries
from schemas.queries import Query, QueryDropped
from schemas.reasons import Reason

RAW_PER_CHARACTER = 16  # raw characters a cleaned one may have cost: HTML entities; a longer text is not even cleaned
LEAST_ASKED = 16  # candidates in a round of questions: waiting for one answer at a time costs more than a few calls
NOT_KEPT = {Reason.PROHIBITED, Reason.PII}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A raw row that passed the rules: x, its id and the words it is compared by."""

    raw: Raw
    query_id: str
    query: str
    words: tuple[str, ...]


def queries(
    raws: Iterable[Raw],
    teacher: Teacher,
    template: Template,
    exemplars: Sequence[str],
    params: Queries,
    seed: int,
    report: dict,
) -> Iterator[Query | QueryDropped]:
    """Yield the queries of all splits in the source's order, and a QueryDropped for every other raw row.

    `exemplars` are the queries of the few-shot demonstrations; counts that rows do not tell go into `report`.
    """
    passed = yield from _by_rules(raws, params)
    kept = yield from _diverse(passed, params.max_similarity)
    before, after = (self_bleu([item.words for item in items]) for items in (passed, kept))
    report["self_bleu"] = {"before": before, "after": after}
    kept = yield from _unlike(kept, exemplars)
    yield from _drawn(kept, teacher, template, params, seed, report)


def _by_rules(raws: Iterable[Raw], params: Queries) -> Generator[QueryDropped, None, list[Candidate]]:
    passed = []
    for raw in raws:
        found = admit(raw, params)
        if isinstance(found, Candidate):
            passed.append(found)
        else:
            yield _dropped(raw, found)
    return passed


def admit(raw: Raw, params: Queries) -> Candidate | Fault:
    """Return the cleaned row, or the first rule that it breaks."""
    if raw.fault:
        return Fault(Reason.UNREADABLE, raw.fault)
    if len(raw.text) > RAW_PER_CHARACTER * params.max_characters:
        return Fault(Reason.TOO_LONG, "characters before cleaning", len(raw.text))
    # what a flag hides counts here: the raw text stays in the row
    if prohibited(clean(raw.text, keep_flags=True)):
        return Fault(Reason.PROHIBITED)
    query = clean(raw.text, params.keep_flags)
    said = tokens(query)
    return fault(query, said, params) or Candidate(raw, content_id(query), query, said)


def _diverse(items: list[Candidate], max_similarity: float) -> Generator[QueryDropped, None, list[Candidate]]:
    kept = []
    witnesses = diverse([item.words for item in items], max_similarity)
    for item, witness in zip(items, witnesses, strict=True):
        if witness is None:
            kept.append(item)
            continue
        other = items[witness.row]
        reason = Reason.DUPLICATE if witness.same else Reason.SIMILAR
        yield _dropped(item.raw, Fault(reason, f"to {other.raw.source_id}", witness.score), other)
    return kept


def _unlike(items: list[Candidate], exemplars: Sequence[str]) -> Generator[QueryDropped, None, list[Candidate]]:
    """Drop what resembles a query whose prompt the teacher is shown: it would be no test, and teach a copied answer."""
    index = SimilarIndex([*(item.words for item in items), *map(tokens, exemplars)], NEAR)
    for number in range(len(exemplars)):
        index.add(len(items) + number)
    kept = []
    for row, item in enumerate(items):
        if found := next(index.similar(row), None):
            near, score = found
            yield _dropped(item.raw, Fault(Reason.BENCHMARK, f"exemplar: {exemplars[near - len(items)]}", score))
        else:
            kept.append(item)
    return kept


def _drawn(
    items: list[Candidate], teacher: Teacher, template: Template, params: Queries, seed: int, report: dict
) -> Iterator[Query | QueryDropped]:
    """Draw the splits: safety queries first, asking about hardly more candidates than it takes, then general ones."""
    splits = Splits([item.words for item in items], sizes(params, safety=False), sizes(params, safety=True))
    order = drawn([item.query_id for item in items], seed)
    suspects = [row for row in order if _suspect(items[row], params.unsafe_threshold)]
    answers: dict[int, Outcome[bool]] = {}
    fates: dict[int, Split | Left] = {}
    while (lacking := splits.missing(safety=True)) and len(answers) < len(suspects):
        asked = suspects[len(answers) :][: max(lacking, LEAST_ASKED)]
        outcomes = recheck([items[row].query for row in asked], teacher, template)
        for row, (_, outcome) in zip(asked, outcomes, strict=True):
            answers[row] = outcome
            if outcome.value:
                fates[row] = splits.place(row, safety=True)
    harmless = {row for row, outcome in answers.items() if outcome.value is False}
    general = set(order).difference(suspects) | harmless
    fates |= {row: splits.place(row, safety=False) for row in order if row in general}
    for row, item in enumerate(items):
        fate = fates.get(row) or _unjudged(answers.get(row))
        if isinstance(fate, Fault):
            yield _dropped(item.raw, fate)
        elif isinstance(fate, Left):
            other = None if fate.row is None else items[fate.row]
            yield _dropped(item.raw, Fault(Reason.NOT_SAMPLED, fate.detail, fate.score), other)
        else:
            yield Query(
                query_id=item.query_id, query=item.query, split=fate, safety=row not in general, raw=item.raw.text,
                source=source_name(params), source_id=item.raw.source_id, time=item.raw.time,
                unsafe_score=item.raw.unsafe_score,
            )  # fmt: skip
    report["recheck"] = {
        "candidates": len(suspects),
        "asked": len(answers),
        "unsafe": sum(outcome.value is True for outcome in answers.values()),
        "not_unsafe": len(harmless),
        "template": template.hash,
    }
    report["splits"], report["short"] = splits.filled(), splits.short()


def _unjudged(outcome: Outcome[bool] | None) -> Fault:
    if outcome is None:
        return Fault(Reason.NOT_SAMPLED, "a safety candidate; enough others were judged")
    return Fault(outcome.reason, f"safety re-check: {outcome.detail}")


def _suspect(item: Candidate, threshold: float) -> bool:
    """Return whether the source's scores or our terms call for a second look; neither decides (S1 3.2)."""
    return (item.raw.unsafe_score or 0.0) > threshold or candidate(item.words) is not None


def _dropped(raw: Raw, why: Fault, witness: Candidate | None = None) -> QueryDropped:
    text, detail = raw.text, why.detail
    if why.reason in NOT_KEPT:
        text, digest = None, hashlib.sha256(raw.text.encode()).hexdigest()
        detail = f"{detail}; the text is not kept, its SHA-256 is {digest}".removeprefix("; ")
    elif raw.fault or why.detail == "characters before cleaning":
        text = None
    return QueryDropped(
        input_id=raw.source_id, reason=why.reason, detail=detail, raw=text, score=why.score,
        witness_id=witness.query_id if witness else None,
    )  # fmt: skip


@contextmanager
def traced(params: Queries, report: dict) -> Iterator[None]:
    """Record in `report` where the rows come from; a file from outside may not change meanwhile."""
    report |= {"clean": clean_hash(), "source": source_name(params), "revision": params.revision}
    with unchanged(Path(params.path)) if params.source == "file" else nullcontext() as digest:
        report["source_sha256"] = digest
        yield


@click.command("queries")
@click.argument("sft")
@click.argument("dpo")
@click.argument("test")
@option
def main(sft, dpo, test, params_path):
    """raw -> x: clean, filter, deduplicate and re-judge what users typed, and draw the splits."""
    params = load_params(params_path)
    with split_outputs({"sft": Path(sft), "dpo": Path(dpo), "test": Path(test)}) as writer:
        teacher = make_teacher(params.teacher, params.world)
        template = Template(params.queries.recheck_template, ("query",))
        exemplars = [row.query for row in read_rows(params.fewshot.exemplars, Exemplar)]
        corpus = synthetic_queries(params.world.queries, params.base.seed)
        with traced(params.queries, writer.extra):
            raws = writer.count(read(params.queries, corpus))
            writer.write(queries(raws, teacher, template, exemplars, params.queries, params.base.seed, writer.extra))
        for line in writer.extra["short"]:
            click.echo(f"  queries: the source is too small: {line}", err=True)
