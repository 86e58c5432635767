"""Keeps filter results of a source under $VPO_HOME, so that only rows that are added later need work.

Arrow and npy files, a set for the rows of each run that added some: the result for a row stays as it is, so that only
self-BLEU's counts are written whole each time. state.json, put in place last, names them with their SHA-256. A state
that does not fit (another rule, other rows at its beginning, a damaged file) is not used, and written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
import numpy as np
import numpy.typing as npt

from pipeline.curation.filters import SLICE, FilterResult, filter_rows
from pipeline.curation.near_duplicates import Witnesses
from pipeline.curation.tokens import Tokens, to_utf8
from pipeline.runtime.fingerprint import file_syntax_hash
from pipeline.runtime.io import replacing, write_json
from pipeline.text.clean import clean_hash
from schemas.base import content_id
from schemas.params import QueriesParams

if TYPE_CHECKING:
    import polars as pl

Piece: TypeAlias = "npt.NDArray[Any] | pl.DataFrame"

# where rows come from and which are drawn of those that are kept shapes nothing here
NO_RULE = {
    "source", "path", "revision", "query_column", "id_column", "limit", "unsafe_threshold", "sft", "sft_safety", "dpo",
    "dpo_safety", "test", "test_safety", "recheck_template", "sample", "sample_balance", "sample_weights",
    "benchmarks", "semantic",
}  # fmt: skip

NEWEST = 2
"""How many states of a source stay. Ours: one is some 250 MB at VidProM's size."""

WHOLE = ("matches_passed", "matches_kept")
"""The kinds of files that more rows change all through."""


@dataclass(frozen=True)
class Part:
    """The rows that one run added: up to which row, their digest, and file name -> SHA-256."""

    end: int
    digest: str
    files: dict[str, str]


def hash_rules(params: QueriesParams) -> str:
    """Return 16 hex digits over all that decides the fate of a text: the rules' values, word lists and code."""
    folder = Path(__file__).parent
    code = [file_syntax_hash(path) for path in sorted(folder.glob("*.py"))]
    lists = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.txt"))]
    return content_id(clean_hash(), code, lists, params.model_dump(mode="json", exclude=NO_RULE))


def hash_rows(readable: pl.DataFrame) -> str:
    """Return the SHA-256 of rows that `check_readable` gave: of all that `filter_rows` reads in them."""
    import polars as pl

    whole = hashlib.sha256()
    for begin in range(0, len(readable), SLICE):
        # a missing text is told from an empty one by its length
        texts = readable["text"][begin : begin + SLICE]
        text, offsets = to_utf8(texts.fill_null(""))
        whole.update(texts.is_null().to_numpy())
        whole.update(np.diff(offsets).data)
        whole.update(text[offsets[0] : offsets[-1]].data)
    refused = readable.select("reason", "detail", "score", row=pl.int_range(pl.len()))
    whole.update(json.dumps(refused.filter(pl.col("reason").is_not_null()).rows()).encode())
    return whole.hexdigest()


def resume(readable: pl.DataFrame, params: QueriesParams, folder: Path) -> FilterResult:
    """Return `filter_rows` of all rows; `folder` may hold the result for the first of them, then holds that for all."""
    with _lock(folder):
        before, parts = load(folder, readable) or (None, [])
    done = before.n_rows if before else 0
    result = before if before and done == len(readable) else filter_rows(readable[done:], params, before)
    if done:
        click.echo(f"  queries: {done} of {len(readable)} rows are known from an earlier run", err=True)
    digest = hash_rows(readable[done:])
    with _lock(folder):
        if done < len(readable):
            save(folder, result, before, parts, digest)
        elif (state := folder / "state.json").exists():  # else another run has removed it meanwhile
            os.utime(state)
        prune(folder)
    return result


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Wait for whoever reads or writes states: a run removes files that its own state does not name."""
    import fcntl

    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "states.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prune(folder: Path) -> None:
    """Remove the states of a source, `folder` being one of them, but for the NEWEST that were used last."""
    source = folder.name.rpartition("-")[2]
    states = sorted(folder.parent.glob(f"*-{source}/state.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in states[:-NEWEST]:
        shutil.rmtree(path.parent, ignore_errors=True)


def save(folder: Path, result: FilterResult, before: FilterResult | None, parts: list[Part], digest: str) -> None:
    """Write the rows of `result` behind those of `before`, which `parts` hold; `digest` is of those rows."""
    folder.mkdir(parents=True, exist_ok=True)
    number = str(len(parts))
    sums: dict[str, str] = {}
    for kind, piece in (_cut_rows(result, before) | dict(zip(WHOLE, result.matches, strict=True))).items():
        path = folder / f"{kind}-{number}{'.npy' if isinstance(piece, np.ndarray) else '.arrow'}"
        with replacing(path) as temporary:
            _write(temporary, piece)
            sums[path.name] = _hash_file(temporary)
    parts = [
        Part(part.end, part.digest, {name: sha for name, sha in part.files.items() if _parse_kind(name) not in WHOLE})
        for part in parts
    ]
    parts.append(Part(result.n_rows, digest, sums))
    write_json(folder / "state.json", {"parts": [[part.end, part.digest, part.files] for part in parts]})
    named = {"state.json"}.union(*(part.files for part in parts))
    for path in folder.iterdir():
        if path.name not in named:
            path.unlink(missing_ok=True)


def _cut_rows(result: FilterResult, before: FilterResult | None) -> dict[str, Piece]:
    """Return kind of file -> the part of `result` behind the rows of `before`."""
    refused, passed, n_words, vocabulary = (
        (len(before.refused), len(before.tokens), len(before.tokens.words), len(before.tokens.vocabulary))
        if before
        else (0, 0, 0, 0)
    )
    tokens, witnesses = result.tokens, result.witnesses
    return {
        "refused": result.refused[refused:], "facts": result.facts[passed:],
        "vocabulary": tokens.vocabulary[vocabulary:].alias("words").to_frame(), "words": tokens.words[n_words:],
        "starts": tokens.starts[passed + bool(before) :], "first": result.first[passed:],
        "witness": witnesses.row[passed:], "score": witnesses.score[passed:], "same": witnesses.same[passed:],
    }  # fmt: skip


def _parse_kind(file: str) -> str:
    return file.partition("-")[0]


def _write(path: Path, piece: Piece) -> None:
    if isinstance(piece, np.ndarray):
        with path.open("wb") as file:
            np.save(file, piece, allow_pickle=False)
    else:
        piece.write_ipc(path)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(folder: Path, readable: pl.DataFrame) -> tuple[FilterResult, list[Part]] | None:
    """Return the state and its parts.

    None where there is none, where a file is damaged, or it was made of other rows than the first here.
    """
    import polars as pl

    try:
        content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        parts = [Part(end, digest, dict(files)) for end, digest, files in content["parts"]]
        ends = [0, *(part.end for part in parts)]
        if not 0 < ends[-1] <= len(readable) or any(
            _hash_file(folder / name) != sha for part in parts for name, sha in part.files.items()
        ):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if any(hash_rows(readable[begin : part.end]) != part.digest for begin, part in zip(ends, parts, strict=False)):
        return None
    pieces: dict[str, list[Any]] = {}
    for name in (name for part in parts for name in part.files):
        # mapped, and written to in memory alone
        array = name.endswith(".npy")
        piece = np.load(folder / name, "c", allow_pickle=False) if array else pl.read_ipc(folder / name)
        pieces.setdefault(_parse_kind(name), []).append(np.asarray(piece) if array else piece)
    whole = {kind: several[0] if len(several) == 1 else _join(several) for kind, several in pieces.items()}
    return FilterResult(
        ends[-1],
        whole["refused"],
        whole["facts"],
        Tokens(whole["words"], whole["starts"], whole["vocabulary"]["words"]),
        whole["first"],
        Witnesses(whole["witness"], whole["score"], whole["same"]),
        (whole[WHOLE[0]], whole[WHOLE[1]]),
    ), parts


def _join(pieces: list[Any]) -> Any:
    import polars as pl

    return np.concatenate(pieces) if isinstance(pieces[0], np.ndarray) else pl.concat(pieces)
