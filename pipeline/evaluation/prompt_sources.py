"""Where the prompts of an arm come from when no policy of ours writes them: the query, stored rows, a file, an LLM."""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.llm.answer_forms import PROMPT
from pipeline.llm.policy_answers import read_policy_outcome
from pipeline.llm.rounds import ask_teacher
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, read_rows
from pipeline.runtime.stage_output import dropped_path
from pipeline.text.clean import clean
from pipeline.text.delimiters import find_delimiter
from pipeline.text.incoming_bytes import read_lines, strip_packing
from pipeline.text.loops import has_loop
from pipeline.text.preference import fold
from pipeline.text.ready_records import hash_file, read_records
from schemas.base import Dropped, Prompt, Provenance, QueryBase, content_id
from schemas.fewshot import Exemplar
from schemas.params import FileArmParams
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.rollout import Rollout, prompt_class
from schemas.seams import Messages, Outcome, Teacher


@dataclass(frozen=True)
class StoredPrompts:
    """Prompts by query_id, and why others have none where their writer says so."""

    prompts: Mapping[str, Prompt]
    dropped: Mapping[str, Dropped]


def copy_queries(queries: Iterable[Query], arm: str, suite: str | None = None) -> Iterator[Rollout]:
    """Yield x itself as the prompt: the arm that every other one has to beat (VPO 4.1, "Original Query")."""
    for row in queries:
        by = Provenance(backend="query", model=row.source, revision="")
        yield make_rollout(row, row.query, by, arm=arm, suite=suite)


def copy_prompts(
    queries: Iterable[QueryBase], stored: StoredPrompts, arm: str, suite: str | None = None
) -> Iterator[Rollout | Dropped]:
    """Yield the prompts that another stage wrote, or why a query has none."""
    for row in queries:
        if prompt := stored.prompts.get(row.query_id):
            yield make_rollout(row, prompt.prompt, prompt.written_by, arm=arm, suite=suite)
            continue
        lost = stored.dropped.get(row.query_id)
        yield Dropped(
            input_id=f"{row.query_id}/0",
            reason=lost.reason if lost else Reason.FAILED,
            detail=lost.detail if lost else "the source has no prompt for this query",
            suite=suite,
            arm=arm,
        )


def drop_untrained(queries: Iterable[QueryBase], why: str, arm: str, suite: str | None = None) -> Iterator[Dropped]:
    """Yield every query as dropped: the arm's model was set aside, so there is nobody to ask."""
    for row in queries:
        yield Dropped(input_id=f"{row.query_id}/0", reason=Reason.NOT_TRAINED, detail=why, suite=suite, arm=arm)


def read_stored_prompts(path: Path) -> StoredPrompts:
    """Return the first prompt of each query in another stage's rows, and what that stage dropped where it is known."""
    prompts: dict[str, Prompt] = {}
    for row in read_rows(path, prompt_class(path)):
        prompts.setdefault(row.query_id, row)
    dropped = dropped_path(path)
    return StoredPrompts(
        prompts, {row.input_id: row for row in read_rows(dropped, Dropped)} if dropped.exists() else {}
    )


def take_from_file(
    queries: Iterable[QueryBase], params: FileArmParams, keep_flags: bool, arm: str, suite: str | None = None
) -> Iterator[Rollout | Dropped]:
    """Yield the prompt that a user's file has for each query, or why there is none.

    The file's queries are cleaned as stage `queries` cleans them (`keep_flags`), so that the same text is the same
    query, and its prompts as those of every model. Raises DataError as `read_prompt_file`.
    """
    path = Path(params.source)
    prompts = read_prompt_file(path, params.query_column, params.prompt_column, keep_flags)
    by = Provenance(backend="file", model=path.name, revision=hash_file(params.source)[:16])
    for row in queries:
        if row.query_id not in prompts:
            outcome = Outcome[str](reason=Reason.FAILED, detail=f"{path.name} has no prompt for this query")
        else:
            outcome = read_policy_outcome(prompts[row.query_id], by)
        if outcome.value is None:
            reason = outcome.reason or Reason.FAILED
            yield Dropped(input_id=f"{row.query_id}/0", reason=reason, detail=outcome.detail, suite=suite, arm=arm)
        else:
            yield make_rollout(row, outcome.value, by, arm=arm, suite=suite)


def read_prompt_file(path: Path, query_column: str, prompt_column: str, keep_flags: bool) -> dict[str, str]:
    """Return query_id -> prompt, as it stands there, of a file in a common format; case hides no column.

    Raises DataError naming file and record for one that cannot be read, lacks a column, or has two prompts for a query.
    """
    prompts: dict[str, str] = {}
    for number, record in list_records(path):
        if not isinstance(record, dict):
            raise DataError(f"{path}: record {number}: expected an object")
        folded = {str(name).strip().casefold(): value for name, value in record.items()}
        query, prompt = (record.get(name, folded.get(name.casefold())) for name in (query_column, prompt_column))
        if not isinstance(query, str) or not isinstance(prompt, str) or not query.strip() or not prompt.strip():
            raise DataError(f"{path}: record {number}: expected texts in {query_column} and {prompt_column}")
        query_id = content_id(clean(query, keep_flags))
        if fold(prompts.setdefault(query_id, prompt)) != fold(prompt):
            raise DataError(f"{path}: record {number}: a second prompt for the query {query[:80]!r}")
    return prompts


def list_records(path: Path) -> Iterator[tuple[int, object]]:
    """Yield (number, from 1; record) of a JSONL, JSON, Parquet, CSV or TSV file. Raises DataError where it is none."""
    if strip_packing(path).suffix.lower() not in (".csv", ".tsv"):
        yield from read_records(str(path))
        return
    delimiter, skipped = find_delimiter(path, read_lines)
    lines = itertools.islice(read_lines(path), skipped, None)
    empty = True
    try:
        for number, record in enumerate(csv.DictReader(lines, delimiter=delimiter, strict=True), 1):
            empty = False
            yield number, record
    except csv.Error as fault:
        raise DataError(f"{path}: broken CSV: {fault}") from None
    if empty:
        raise DataError(f"{path}: no records in it")


def arm_messages(template: Template, exemplars: Iterable[Exemplar]) -> Callable[[QueryBase], Messages]:
    """Return what sends a query to the LLM of an arm."""
    shown = [dict(exemplar) for exemplar in exemplars]
    return lambda row: [{"role": "user", "content": template.fill(query=row.query, exemplars=shown)}]


def ask_llm(
    queries: Iterable[QueryBase],
    teacher: Teacher,
    template: Template,
    exemplars: Iterable[Exemplar],
    arm: str,
    suite: str | None = None,
) -> Iterator[Rollout | Dropped]:
    """Yield the prompt that an LLM writes for each query by the arm's own template, or why there is none."""
    messages = arm_messages(template, exemplars)
    for row, outcome in ask_teacher(queries, messages, teacher, PROMPT, template=template.hash):
        if outcome.value is None or outcome.by is None:
            reason = outcome.reason or Reason.FAILED
            yield Dropped(input_id=f"{row.query_id}/0", reason=reason, detail=outcome.detail, suite=suite, arm=arm)
        else:
            yield make_rollout(row, outcome.value, outcome.by, arm=arm, suite=suite)


def make_rollout(
    row: QueryBase,
    prompt: str,
    by: Provenance,
    *,
    arm: str,
    suite: str | None = None,
    sample: int = 0,
    duplicate_of: int | None = None,
    failure: str | None = None,
) -> Rollout:
    """Return the row of a prompt that an arm wrote for a query; `failure` says why the query stands in its place."""
    return Rollout(
        query_id=row.query_id, query=row.query, split=row.split, safety=row.safety,
        prompt_id=content_id(row.query_id, prompt), prompt=prompt, suite=suite, arm=arm, sample=sample, written_by=by,
        duplicate_of=duplicate_of, loops=has_loop(prompt), served="query" if failure else "prompt", failure=failure,
    )  # fmt: skip
