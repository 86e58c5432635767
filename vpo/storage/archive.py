"""Answers as a file: one JSON line each behind a line that says what it is, compressed by zstd."""

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.llm.calls.answers import find_fault, is_whole, read_error_message
from pipeline.publishing.secret_scan import secrets_said, values_of
from pipeline.runtime.io import DataError, replacing
from pipeline.runtime.store import Store
from schemas.base import content_id

FORMAT = "vpo store 1"
MOST_CHOICES = 1000
COLUMNS = ("key", "kind", "at", "request", "answer")


@dataclass
class Imported:
    """What became of an archive's answers; `why` tells it of the first that was refused."""

    new: int = 0
    already_here: int = 0
    refused: int = 0
    why: str = ""


def export_answers(store: Store, path: Path, kind: str, since: str = "") -> int:
    """Write the answers of `kind` bought at or after `since` (UTC, as the store writes it), by key; return how many.

    Equal answers give equal bytes. Raises DataError, and writes nothing, when one holds what looks like a key.
    """
    import pyarrow as pa

    values = values_of(os.environ)
    where = f"from answers where kind = {_quote(kind)} and at >= {_quote(since)}"
    with store.lock, replacing(path) as temporary:
        store.connection.execute("begin")  # a run that goes on beside must not change the count
        try:
            (count,) = store.connection.execute(f"select count(*) {where}").fetchone()
            head = {"format": FORMAT, "columns": COLUMNS, "kind": kind, "since": since, "answers": count}
            with io.BufferedWriter(pa.CompressedOutputStream(str(temporary), "zstd"), 1 << 20) as file:
                file.write(json.dumps(head).encode() + b"\n")
                for key, bought_at, request, answer in store.connection.execute(
                    f"select key, at, request, answer {where} order by key"
                ):
                    if secret := next(secrets_said(f"{request}\n{answer}", values), None):
                        raise DataError(f"answer {key} holds {secret}: nothing is written; mend the query it came from")
                    # request and answer are JSON already
                    names = ", ".join(json.dumps(name) for name in (key, kind, bought_at))
                    file.write(f"[{names}, {request}, {answer}]\n".encode())
        finally:
            store.connection.execute("rollback")
    return count


def import_answers(store: Store, path: Path) -> Imported:
    """Take over the answers of an archive; all or, where the file is damaged, none (DataError).

    An answer whose key is not that of its request, or that cannot be read, is refused and counted; one that the store
    has already stays as it is. No account is charged.
    """
    counts = Imported()
    taken = (row for number, values in _lines(path) if (row := _check(values, number, counts)))
    # first beside the store, so that a run that goes on waits only for the copy
    store.connection.execute(
        "create temp table imported (key text primary key, kind text, request text, answer text, at text)"
    )
    try:
        with store.lock:
            store.connection.execute("begin")
            store.connection.executemany("insert or ignore into temp.imported values (?, ?, ?, ?, ?)", taken)
            store.connection.execute("commit")
            (accepted,) = store.connection.execute("select count(*) from temp.imported").fetchone()
            counts.new = store.connection.execute(
                "insert or ignore into answers (key, kind, request, answer, at) "
                "select key, kind, request, answer, at from temp.imported order by at, key"
            ).rowcount
        counts.already_here = accepted - counts.new
    finally:
        if store.connection.in_transaction:
            store.connection.execute("rollback")
        store.connection.execute("drop table if exists temp.imported")
    return counts


def _lines(path: Path) -> Iterator[tuple[int, list]]:
    """Yield (line, values) of each answer. Raises DataError for a file that is no archive, or not a whole one."""
    import pyarrow as pa

    number, count = 1, None
    try:
        with io.TextIOWrapper(io.BufferedReader(pa.CompressedInputStream(str(path), "zstd"), 1 << 20), "utf-8") as file:
            head = json.loads(file.readline(10_000))
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise DataError(f"{path}: not an archive of `vpo store export` ({FORMAT})")
            count = head["answers"]
            for number, line in enumerate(file, 2):  # noqa: B007 - told in the errors below
                values = json.loads(line)
                if not isinstance(values, list) or len(values) != len(COLUMNS):
                    raise DataError(f"{path}:{number}: not the {len(COLUMNS)} values {', '.join(COLUMNS)}")
                yield number, values
    except (OSError, ValueError, KeyError, RecursionError, pa.ArrowException) as fault:
        why = " ".join(str(fault).split())[:200]
        raise DataError(f"{path}: damaged behind line {number}, nothing is imported: {why}") from None
    if number - 1 != count:
        raise DataError(f"{path}: ends after {number - 1} of {count} answers, nothing is imported")


def _check(values: list[Any], number: int, counts: Imported) -> tuple | None:
    """Return the row to store, or None, and count and tell why not."""
    key, kind, bought_at, request, answer = values
    why, texts = "", [json.dumps(value, ensure_ascii=False) for value in (request, answer)]
    if not all(isinstance(text, str) for text in (key, kind, bought_at)) or not isinstance(request, dict):
        why = "not an answer's values"
    elif not all(map(is_whole, (key, kind, bought_at, *texts))):
        why = "text with half a character"
    elif content_id(kind, request) != key:  # as store_key makes it
        why = f"key {key} is not that of its request"
    elif not isinstance(answer, dict):
        why = "an answer that is no object"
    elif kind == "teacher" or "status" in answer:
        why = _unreadable(request.get("body"), answer)
    if why:
        counts.refused += 1
        counts.why = counts.why or f"line {number}: {why}"
        return None
    return key, kind, *texts, bought_at


def _unreadable(body: Any, answer: dict[str, Any]) -> str:
    """Return why a stage could not read an endpoint's answer; "" where it can."""
    if not isinstance(body, dict) or not isinstance(answer.get("status"), int) or "body" not in answer:
        return "a request without body, or an answer without status and body"
    if answer["status"] != 200:
        return "" if read_error_message(answer["body"]) else "an error without words"
    n = body.get("n") or 1
    if type(n) is not int or not 0 < n <= MOST_CHOICES:
        return f"n is not a number from 1 to {MOST_CHOICES}"
    return find_fault(answer["body"], n) or ""


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
