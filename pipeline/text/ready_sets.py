"""A ready D_SFT or D_dpo, of one's own or as the papers' authors released theirs, in place of the stage's."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.runtime.io import DataError, describe_fault
from pipeline.text.clean import clean
from schemas.base import Dropped, Provenance, QueryBase, content_id
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.params import DpoParams
from schemas.reasons import Reason

# VPO's released records hold the filled-in instruction: the query stands between these two cues
RELEASED_QUERY = re.compile(r"query:\s*(.*?)\s*(?:#+\s*)?video prompt:\s*$", re.IGNORECASE | re.DOTALL)


def read_ready_sft(path: str, keep_flags: bool) -> Iterator[DSft]:
    """Yield rows from {query, prompt}, [query, prompt] (Prompt-A-Video) or {messages: [user, assistant]} (VPO).

    Queries are cleaned as the stage `queries` cleans, so that one in the test split has that row's id.
    """
    by = _written_by(path)
    samples: Counter[str] = Counter()
    for number, record in _records(path):
        if isinstance(record, list):
            query, prompt = _texts(path, number, record, 2)
        elif isinstance(record, dict) and "messages" in record:
            instruction, prompt = _texts(path, number, _contents(record), 2)
            query = _find_query(instruction)
        else:
            query, prompt = _fields(path, number, record, "query", "prompt")
        query = _clean_query(path, number, query, keep_flags)
        query_id = content_id(query)
        yield DSft(
            query_id=query_id, query=query, split="sft", safety=False, prompt_id=content_id(query_id, prompt),
            prompt=prompt, arm="ready", sample=samples[query_id], written_by=by, refined=False, violated=(),
        )  # fmt: skip
        samples[query_id] += 1


def read_ready_dpo(path: str, params: DpoParams, keep_flags: bool) -> Iterator[DDpo]:
    """Yield pairs from {query, chosen, rejected}, or {messages: [user], chosen: {content}, ...} (VPO)."""
    for number, record in _records(path):
        if isinstance(record, dict) and "messages" in record:
            texts = [*_contents(record)[:1], _content(record.get("chosen")), _content(record.get("rejected"))]
            instruction, chosen, rejected = _texts(path, number, texts, 3)
            query = _find_query(instruction)
        else:
            query, chosen, rejected = _fields(path, number, record, "query", "chosen", "rejected")
        if chosen == rejected:
            raise DataError(f"{path}: record {number}: chosen equals rejected")
        query = _clean_query(path, number, query, keep_flags)
        query_id = content_id(query)
        source = record.get("source", "text")
        if source not in params.sources:
            listed = ", ".join(params.sources)
            raise DataError(f"{path}: record {number}: source is {source!r}; dpo.sources has {listed}")
        if source not in params.sources:
            listed = ", ".join(params.sources)
            raise DataError(f"{path}: record {number}: source is {source!r}; dpo.sources has {listed}")
        given = {name: record[name] for name in ("score_chosen", "score_rejected", "safety") if name in record}
        try:
            pair = DDpo(
                pair_id=content_id(query_id, chosen, rejected, source), query_id=query_id, query=query, chosen=chosen,
                rejected=rejected, source=source, rule="ready", target=params.target, round=params.round,
                chosen_origin="refined" if source == "text" else "policy", chosen_id=content_id(query_id, chosen),
                rejected_id=content_id(query_id, rejected), decided_by=(), **{"safety": False, **given},
            )  # fmt: skip
        except ValidationError as fault:
            raise DataError(f"{path}: record {number}: {describe_fault(fault)}") from None
        yield pair


def drop_replaced(rows: Iterable[QueryBase], path: str, times: int = 1) -> Iterator[Dropped]:
    """Yield every unit as dropped: a ready set takes the place of what would be made of it, so nothing is bought."""
    for row in rows:
        for sample in range(times):
            name = row.query_id if times == 1 else f"{row.query_id}/{sample}"
            yield Dropped(input_id=name, reason=Reason.REPLACED, detail=path)


def hash_file(path: str) -> str:
    """Return the hash of a ready set's bytes: kept in the metrics, so that a later change of the file is noticed."""
    return hashlib.sha256(_read_bytes(path)).hexdigest()


def _written_by(path: str) -> Provenance:
    revision = hash_file(path)[:16]
    return Provenance(backend="file", model=Path(path).name, revision=revision)


def _records(path: str) -> Iterator[tuple[int, Any]]:
    try:
        text = _read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as fault:
        raise DataError(f"{path}: not UTF-8 text at byte {fault.start}; convert it, e.g. with iconv -t UTF-8") from None
    try:
        records = _parse_records(text)
    except json.JSONDecodeError as fault:
        raise DataError(f"{path}:{fault.lineno}: neither a JSON list nor one JSON object a line: {fault.msg}") from None
    if not records:
        raise DataError(f"{path}: no records in it")
    yield from enumerate(records, 1)


def _parse_records(text: str) -> list[Any]:
    """Return the items of a JSON list, or the values of a file with one a line (which may be lists themselves)."""
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except json.JSONDecodeError as fault:
            if fault.msg != "Extra data":
                raise
        else:
            return records
    records, offset = [], 0
    for line in text.split("\n"):  # no other sign ends a line: JSON may hold U+2028 as it is
        if line.strip():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as fault:
                raise json.JSONDecodeError(fault.msg, text, offset + fault.pos) from None
        offset += len(line) + 1
    return records


def _read_bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as fault:
        raise DataError(f"{path}: {fault.strerror}; name a JSON or JSONL file") from None


def _contents(record: dict[str, Any]) -> list[str | None]:
    messages = record["messages"]
    return [_content(item) for item in messages] if isinstance(messages, list) else []


def _content(item: Any) -> str | None:
    return item.get("content") if isinstance(item, dict) else None


def _fields(path: str, number: int, record: Any, *names: str) -> list[str]:
    if not isinstance(record, dict):
        raise DataError(f"{path}: record {number}: expected an object with {', '.join(names)}")
    return _texts(path, number, [record.get(name) for name in names], len(names), names)


def _texts(path: str, number: int, values: list[Any], n: int, names: tuple[str, ...] = ()) -> list[str]:
    wanted = ", ".join(names) or f"{n} texts"
    if len(values) != n or not all(isinstance(value, str) and value.strip() for value in values):
        raise DataError(f"{path}: record {number}: expected {wanted}, each a text that is not empty")
    return values


def _find_query(instruction: str) -> str:
    match = RELEASED_QUERY.search(instruction)
    return match[1].strip().strip('"') if match else instruction.strip()


def _clean_query(path: str, number: int, query: str, keep_flags: bool) -> str:
    if cleaned := clean(query, keep_flags):
        return cleaned
    raise DataError(f"{path}: record {number}: nothing is left of its query once it is cleaned")
