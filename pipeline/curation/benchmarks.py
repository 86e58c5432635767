"""Reads benchmark prompts that no split may hold.

Ours: VPO tests on VBench and its own queries without a word on overlap.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.curation.files import FrameTable, Table, guard_file, open_table
from pipeline.curation.sources import fold_name
from pipeline.runtime.io import DataError
from pipeline.text.incoming_bytes import make_writable

COLUMNS = ("prompt_en", "prompt", "query", "text", "caption")
"""Where benchmarks keep their prompts; prompt_en is VBench's."""


def read_benchmarks(paths: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return file name -> its distinct prompts, and file name -> SHA-256. Raises DataError for an unreadable file."""
    lists: dict[str, list[str]] = {}
    digests: dict[str, str] = {}
    for path in map(Path, paths):
        if path.name in lists:
            raise DataError(f"{path}: queries.benchmarks names two files {path.name}; rename one")
        if not path.is_file():
            raise DataError(f"{path}: no such file; put it there, or take it out of queries.benchmarks")
        with guard_file(path) as digests[path.name]:
            lists[path.name] = _read_prompts(path)
    return lists, digests


def _read_prompts(path: Path) -> list[str]:
    table = open_table(path)
    columns = {fold_name(name): name for name in reversed(table.names)}
    column = next((columns[name] for name in COLUMNS if name in columns), None)
    if column is None:
        raise DataError(f"{path}: none of the columns {', '.join(COLUMNS)} is there; it has {', '.join(table.names)}")
    prompts: dict[str, None] = {}
    for number, prompt in enumerate(_iterate_values(table, column), 1):
        if not isinstance(prompt, str):
            raise DataError(f"{path}: prompt {number} is not text; a benchmark list must be whole")
        if prompt.strip():
            prompts[make_writable(prompt.strip())] = None
    if not prompts:
        raise DataError(f"{path}: holds no prompts; take it out of queries.benchmarks")
    return list(prompts)


def _iterate_values(table: Table, column: str) -> Iterator[object]:
    if isinstance(table, FrameTable):
        for frame in table.frames([column]):
            yield from frame[column]
        return
    for record in table.records([column]):
        yield record.get(column) if isinstance(record, dict) else None
