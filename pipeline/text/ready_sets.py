"""A ready D_SFT or D_dpo, of one's own or as others released theirs, in place of the stage's.

What each record says is found by keys and roles, in `ready_forms`; a record that is not understood is one clear error.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import ValidationError

from pipeline.runtime.io import DataError, describe_fault
from pipeline.text.clean import clean
from pipeline.text.common_words import find_instruction
from pipeline.text.preference import fold
from pipeline.text.ready_forms import DPO_FORMS, SFT_FORMS, Form, Frame, Parts, find_query, fold_keys, read_record
from pipeline.text.ready_records import hash_file, read_records
from pipeline.text.ready_turns import Misfit
from schemas.base import Dropped, Provenance, QueryBase, content_id
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.params import DpoParams
from schemas.reasons import Reason
from schemas.seams import Outcome

R = TypeVar("R", DSft, DDpo)
ReadAnswer: TypeAlias = Callable[[str, Provenance], Outcome[str]]
"""Cleans an answer, or says why it is none: what models say is read in a room above this one."""
OUR_ID = re.compile("[0-9a-f]{16}")
SCORE_KEY = re.compile(r"(?P<before>\w*?)_?(?P<side>chosen|rejected)_?(?P<after>\w*)", re.IGNORECASE)
SCORE_WORD = re.compile(r"(?:^|_)(?:score|rating|reward|grade|points)s?(?:$|_)")
"""in a key beside chosen or rejected: score_chosen (ours), chosen-rating (argilla), rejected_avg_rating, ScoreChosen"""


@dataclass(frozen=True)
class ReadySet(Generic[R]):
    """The rows of a file, records that left and why, and what a person should know of how it was read."""

    rows: list[R]
    dropped: list[Dropped]
    notes: list[str]


@dataclass(frozen=True)
class _Reading:
    """A record with its number, its parts by role, and its query as it was typed and cleaned."""

    number: int
    record: Any
    parts: Parts
    typed: str
    query: str
    answers: tuple[str, ...]


def read_ready_sft(path: str, keep_flags: bool, read_answer: ReadAnswer, frame: Frame | None = None) -> ReadySet[DSft]:
    """Return the rows of a file in any of SFT_FORMS; `frame` is what the policy's template puts around the query.

    Queries are cleaned as the stage `queries` cleans, so that one in the test split has that row's id, answers as a
    policy's are. A record that repeats another, or whose answer is none, is dropped. Raises DataError for a file or a
    record that cannot be read.
    """
    provenance = Provenance(backend="file", model=Path(path).name, revision=hash_file(path)[:16])
    samples: Counter[str] = Counter()
    first: dict[tuple[str, str], int] = {}
    rows: list[DSft] = []
    readings, dropped = _part_answered(path, _read(path, SFT_FORMS, keep_flags, frame), read_answer)
    for reading in readings:
        (prompt,), query_id = reading.answers, content_id(reading.query)
        before = first.setdefault((query_id, fold(prompt)), reading.number)
        if before != reading.number:
            dropped.append(_drop_repeated(path, reading.number, before))
            continue
        rows.append(
            DSft(
                query_id=query_id, query=reading.query, split="sft", safety=_flag(path, reading, "safety"),
                prompt_id=content_id(query_id, prompt), prompt=prompt, arm="ready", sample=samples[query_id],
                written_by=provenance, refined=False, violated=(),
            )
        )  # fmt: skip
        samples[query_id] += 1
    return ReadySet(rows, dropped, _describe_reading(path, readings))


def read_ready_dpo(
    path: str, params: DpoParams, keep_flags: bool, read_answer: ReadAnswer, frame: Frame | None = None
) -> ReadySet[DDpo]:
    """Return the pairs of a file in any of DPO_FORMS; see `read_ready_sft`.

    A `source` that names none of dpo.sources is where a collection is from: such pairs count as text.
    """
    rows: list[DDpo] = []
    foreign: Counter[str] = Counter()
    readings, dropped = _part_answered(path, _read(path, DPO_FORMS, keep_flags, frame), read_answer)
    for reading in readings:
        record = _list_values(reading.record)
        source = record.get("source", "text")
        if not isinstance(source, str) or source not in params.sources:
            foreign[str(source)] += 1
            source = "text"
        rows.append(_make_pair(path, reading, source, params))
    notes = _describe_reading(path, readings)
    if foreign:
        listed = ", ".join(name[:40] for name, _ in foreign.most_common(3))
        notes.append(
            f"{path}: source is {listed} in {foreign.total()} records, none of dpo.sources "
            f"({', '.join(params.sources)}): read as where they are from; the pairs count as text. "
            "To say which feedback made them, rename that column"
        )
    return ReadySet(rows, dropped, notes)


def _make_pair(path: str, reading: _Reading, source: str, params: DpoParams) -> DDpo:
    (chosen, rejected), query_id = reading.answers, content_id(reading.query)
    try:
        return DDpo(
            pair_id=content_id(query_id, chosen, rejected, source), query_id=query_id, query=reading.query,
            chosen=chosen, rejected=rejected, source=source, rule="ready", target=params.target, round=params.round,
            chosen_origin="refined" if source == "text" else "policy", chosen_id=content_id(query_id, chosen),
            rejected_id=content_id(query_id, rejected), decided_by=(), safety=_flag(path, reading, "safety"),
            **_find_scores(path, reading),
        )  # fmt: skip
    except ValidationError as fault:
        raise DataError(f"{path}: record {reading.number}: {describe_fault(fault)}") from None


def drop_replaced(rows: Iterable[QueryBase], path: str, times: int = 1) -> Iterator[Dropped]:
    """Yield every unit as dropped: a ready set takes the place of what would be made of it, so nothing is bought."""
    for row in rows:
        for sample in range(times):
            name = row.query_id if times == 1 else f"{row.query_id}/{sample}"
            yield Dropped(input_id=name, reason=Reason.REPLACED, detail=path)


def _read(path: str, forms: tuple[Form, ...], keep_flags: bool, frame: Frame | None) -> Iterator[_Reading]:
    for number, record in read_records(path):
        try:
            parts = read_record(record, forms)
            typed = find_query(parts, frame)
            query = _match_id(record, parts, typed, keep_flags)
            if not query:
                raise Misfit("nothing is left of its query once it is cleaned")
        except Misfit as misfit:
            raise DataError(f"{path}: record {number}: {misfit}") from None
        yield _Reading(number, record, parts, typed, query, parts.answers)


def _part_answered(
    path: str, readings: Iterable[_Reading], read_answer: ReadAnswer
) -> tuple[list[_Reading], list[Dropped]]:
    """Return the records with their answers cleaned, and those of which an answer is none, with the reason."""
    provenance = Provenance(backend="file", model=Path(path).name, revision="")
    kept, dropped = list[_Reading](), list[Dropped]()
    for reading in readings:
        outcomes = [read_answer(text, provenance) for text in reading.answers]
        if failed := next((outcome for outcome in outcomes if outcome.reason), None):
            name = f"{Path(path).name}:{reading.number}"
            dropped.append(Dropped(input_id=name, reason=failed.reason or Reason.UNPARSED, detail=failed.detail))
        else:
            kept.append(replace(reading, answers=tuple(outcome.value or "" for outcome in outcomes)))
    return kept, dropped


def _match_id(record: Any, parts: Parts, typed: str, keep_flags: bool) -> str:
    """Return the cleaned query; of a row of ours the text that its query_id names.

    A template is filled in with a query whose < and > are other signs. Raises Misfit where the id names neither, unless
    an instruction was found around the query: then it was filled in with a text that is not to be had back.
    """
    query_id, query = _list_values(record).get("query_id"), clean(typed, keep_flags)
    if not isinstance(query_id, str) or not OUR_ID.fullmatch(query_id) or query_id == content_id(query):
        return query
    written = clean(typed.replace("‹", "<").replace("›", ">"), keep_flags)
    if query_id == content_id(written):
        return written
    if parts.named or typed == parts.request:
        raise Misfit(
            f"its query_id is not that of the query {query[:80]!r}: it was written with another policy.template or "
            "queries.keep_flags; set what it was written with, or take query_id out"
        )
    return query


def _list_values(record: Any) -> dict[str, Any]:
    return fold_keys(record) if isinstance(record, dict) else {}


def _flag(path: str, reading: _Reading, name: str) -> bool:
    value = _list_values(reading.record).get(name, False)
    if not isinstance(value, bool):
        raise DataError(f"{path}: record {reading.number}: {name} is {value!r:.40}, not true or false")
    return value


def _find_scores(path: str, reading: _Reading) -> dict[str, float | None]:
    """Return score_chosen and score_rejected; of several kinds of scores those that speak least for the labels."""
    by_kind: dict[str, dict[str, float]] = defaultdict(dict)
    for key, value in _list_values(reading.record).items():
        match = SCORE_KEY.fullmatch(re.sub(r"[\s-]+", "_", key))
        kind = match and f"{match['before']}_{match['after']}".strip("_")
        if not match or not kind or not SCORE_WORD.search(kind):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(f"{path}: record {reading.number}: {key} is {value!r:.40}, not a number")
        side = match["side"].lower()
        if by_kind[kind].setdefault(side, float(value)) != value:
            other = by_kind[kind][side]
            raise DataError(
                f"{path}: record {reading.number}: score_{side} stands there twice, with {other:g} and {value:g}"
            )
    whole = [scores for scores in by_kind.values() if len(scores) == 2]
    if whole:
        scores = min(whole, key=lambda scores: scores["chosen"] - scores["rejected"])
    else:
        scores = next(iter(by_kind.values()), {})
    return {f"score_{side}": scores.get(side) for side in ("chosen", "rejected")}


def _drop_repeated(path: str, number: int, before: int) -> Dropped:
    name = Path(path).name
    return Dropped(input_id=f"{name}:{number}", reason=Reason.DUPLICATE, detail=f"the same as record {before}")


def _describe_reading(path: str, readings: list[_Reading]) -> list[str]:
    """Return what a person should know; raises DataError where an unknown instruction stands around the queries."""
    notes = []
    if systems := [reading for reading in readings if reading.parts.has_system]:
        notes.append(f"{path}: a system turn stands in {len(systems)} records; policy.template takes its place")
    if cut := [reading for reading in readings if reading.parts.cut]:
        notes.append(
            f"{path}: no key holds the query of {len(cut)} records; it is what chosen and rejected begin with, "
            f"first {cut[0].query[:80]!r}"
        )
    _refuse_instructions(path, [reading for reading in readings if not reading.parts.named])
    return notes


def _refuse_instructions(path: str, readings: list[_Reading]) -> None:
    """Raise DataError where what was read as queries is, in all records, an instruction or has one around it."""
    instructions = {reading.parts.instruction for reading in readings}
    inputs = {reading.query for reading in readings}
    if all(instructions) and len(instructions) > len(inputs):
        raise DataError(
            f"{path}: {len(instructions)} texts stand in instruction and {len(inputs)} in input, first "
            f"{readings[0].query[:80]!r}: the queries seem to be the instructions; leave input empty there, or name "
            "the query in a key query"
        )
    words_around = find_instruction({reading.typed for reading in readings})
    if words_around is not None:
        raise DataError(
            f"{path}: every user turn has the words {words_around[:80]!r}, which are no part of a query; set "
            "policy.template to the instruction that the file was written with, leave the query alone in the turn, or "
            "name it in a key query"
        )
