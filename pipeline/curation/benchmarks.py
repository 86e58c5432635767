"""Benchmark prompts that no split may hold, and the count of what leaked all the same.

Ours: VPO tests on VBench and its own queries without a word on overlap. A query that resembles a test prompt would make
the test easier, one that stands in two splits the test split worthless.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.curation.files import Table, open_table, unchanged
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.pii import FOUND, pii
from pipeline.curation.prohibited import prohibited
from pipeline.curation.read import written
from pipeline.curation.similar import SimilarIndex
from pipeline.curation.tokens import Tokens
from pipeline.runtime.io import DataError
from pipeline.text.clean import clean, tokens

COLUMNS = ("prompt_en", "prompt", "query", "text", "caption")


def read_benchmarks(paths: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return file name -> its distinct prompts, and file name -> SHA-256. Raises DataError for what cannot be read."""
    lists, digests = {}, {}
    for path in map(Path, paths):
        if path.name in lists:
            raise DataError(f"{path}: queries.benchmarks names two files {path.name}; rename one")
        if not path.is_file():
            raise DataError(f"{path}: no such file; put it there, or take it out of queries.benchmarks")
        with unchanged(path) as digests[path.name]:
            lists[path.name] = _prompts(path)
    return lists, digests


def _prompts(path: Path) -> list[str]:
    table = open_table(path)
    column = next((name for name in COLUMNS if name in table.names), None)
    if column is None:
        raise DataError(f"{path}: none of the columns {', '.join(COLUMNS)} is there; it has {', '.join(table.names)}")
    prompts = {}
    for place, prompt in enumerate(_values(table, column), 1):
        if not isinstance(prompt, str):
            raise DataError(f"{path}: prompt {place} is not text; a benchmark list must be whole")
        if prompt.strip():
            prompts[written(prompt.strip())] = None
    if not prompts:
        raise DataError(f"{path}: holds no prompts; take it out of queries.benchmarks")
    return list(prompts)


def _values(table: Table, column: str) -> Iterator[object]:
    if table.frames is not None:
        for frame in table.frames([column]):
            yield from frame[column]
        return
    for record in table.records([column]):
        yield record.get(column) if isinstance(record, dict) else None


def told(name: str, number: int, prompt: str) -> str:
    """Return how a row that leaves names the prompt it resembles: by its text, unless that may not be written down."""
    text = clean(prompt, keep_flags=True)
    hidden = prohibited(text) or pii(text, FOUND)
    return f"{name}: prompt {number + 1}" if hidden else f"{name}: {prompt}"


def leakage(
    drawn: Tokens, splits: Sequence[str], lists: Mapping[str, Sequence[str]], threshold: float
) -> dict[str, int]:
    """Return how many pairs are similar that must not be: a drawn query and a listed prompt, queries of two splits.

    `splits` has the split of each drawn query.
    """
    import polars as pl

    listed = [" ".join(tokens(prompt)) for prompts in lists.values() for prompt in prompts]
    everything = drawn.followed_by(pl.Series("words", listed, dtype=pl.String))
    index = SimilarIndex(Ngrams(everything), threshold)
    index.add(range(len(everything)))
    found = {"benchmark": 0, "splits": 0}
    for row, split in enumerate(splits):
        for other, _ in index.similar(row):
            if other >= len(splits):
                found["benchmark"] += 1
            elif other < row and splits[other] != split:
                found["splits"] += 1
    return found
