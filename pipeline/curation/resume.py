"""Keeps what curation found for a source under $VPO_HOME, so that only rows that are added later need work.

Arrow and npy files, a set for the rows of each run that added some: what came out for a row stays as it is, so that
only self-BLEU's counts are written whole each time. state.json, put in place last, names them with their SHA-256. A
state that does not fit (another rule, other rows at its beginning, a damaged file) is not used, and written anew.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from pipeline.curation.curated import SLICE, Curated, curated
from pipeline.curation.diverse import Witnesses
from pipeline.curation.tokens import Tokens, utf8
from pipeline.runtime.io import replacing, write_json
from pipeline.text.clean import clean_hash
from schemas.base import content_id
from schemas.params import QueriesParams

# where rows come from and which are drawn of those that are kept shapes nothing here
NO_RULE = {
    "source", "path", "revision", "query_column", "id_column", "limit", "unsafe_threshold", "sft", "sft_safety", "dpo",
    "dpo_safety", "test", "test_safety", "recheck_template", "sample", "sample_balance", "sample_weights",
    "benchmarks",
}  # fmt: skip

NEWEST = 2
"""How many states of a source stay: one is some 250 MB at VidProM's size."""

WHOLE = ("passed", "kept")
"""The files that more rows change all through."""


def rule_hash(params: QueriesParams) -> str:
    """Return 16 hex digits over all that decides what becomes of a text: the rules' values and the code."""
    folder = Path(__file__).parent
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.[pt][yx]*"))]
    return content_id(clean_hash(), code, params.model_dump(mode="json", exclude=NO_RULE))


def digest(opened) -> str:
    """Return the SHA-256 of opened rows: of all that `curated` reads in them."""
    import polars as pl

    whole = hashlib.sha256()
    for at in range(0, len(opened), SLICE):
        # a missing text is told from an empty one by its length
        text, offsets = utf8(opened["text"][at : at + SLICE].fill_null(""))
        whole.update(opened["text"][at : at + SLICE].is_null().to_numpy())
        whole.update(np.diff(offsets))
        whole.update(text[offsets[0] : offsets[-1]])
    told = opened.select("reason", "detail", "score", row=pl.int_range(pl.len())).filter(pl.col("reason").is_not_null())
    whole.update(json.dumps(told.rows()).encode())
    return whole.hexdigest()


def resumed(opened, params: QueriesParams, folder: Path) -> Curated:
    """Return what becomes of opened rows; `folder` may know the first of them, and knows all of them after this."""
    with _alone(folder):
        before, parts = load(folder, opened) or (None, [])
    known = before.n_rows if before else 0
    found = before if before and known == len(opened) else curated(opened[known:], params, before)
    if known:
        click.echo(f"  queries: {known} of {len(opened)} rows are known from an earlier run", err=True)
    added = digest(opened[known:])
    with _alone(folder):
        if known < len(opened):
            save(folder, found, before, parts, added)
        elif (state := folder / "state.json").exists():  # else another run has removed it meanwhile
            os.utime(state)
        prune(folder)
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
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


def save(folder: Path, found: Curated, before: Curated | None, parts: list, added: str) -> None:
    """Write what `found` holds behind `before`, which the files of `parts` hold; `added` is its rows' digest."""
    folder.mkdir(parents=True, exist_ok=True)
    name, sums = str(len(parts)), {}
    for kind, piece in (_rows(found, before) | dict(zip(WHOLE, found.matches, strict=True))).items():
        path = folder / f"{kind}-{name}{'.npy' if isinstance(piece, np.ndarray) else '.arrow'}"
        with replacing(path) as temporary:
            _write(temporary, piece)
            sums[path.name] = _sum(temporary)
    old = [{file: known for file, known in files.items() if _kind(file) not in WHOLE} for *_, files in parts]
    parts = [[end, known, files] for (end, known, _), files in zip(parts, old, strict=True)]
    parts.append([found.n_rows, added, sums])
    write_json(folder / "state.json", {"parts": parts})
    named = {"state.json"}.union(*(files for *_, files in parts))
    for path in folder.iterdir():
        if path.name not in named:
            path.unlink(missing_ok=True)


def _rows(found: Curated, before: Curated | None) -> dict:
    """Return what `found` says of the rows behind those of `before`."""
    ruled, passed, words, known = (
        (len(before.ruled), len(before.tokens), len(before.tokens.words), len(before.tokens.vocabulary))
        if before
        else (0, 0, 0, 0)
    )
    return {
        "ruled": found.ruled[ruled:], "told": found.told[passed:],
        "vocabulary": found.tokens.vocabulary[known:].alias("words").to_frame(), "words": found.tokens.words[words:],
        "starts": found.tokens.starts[passed + bool(before) :], "first": found.first[passed:],
        "witness": found.found.row[passed:], "score": found.found.score[passed:], "same": found.found.same[passed:],
    }  # fmt: skip


def _kind(file: str) -> str:
    return file.partition("-")[0]


def _write(path: Path, piece) -> None:
    if isinstance(piece, np.ndarray):
        with path.open("wb") as file:
            np.save(file, piece, allow_pickle=False)
    else:
        piece.write_ipc(path)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(folder: Path, opened) -> tuple[Curated, list] | None:
    """Return the state and its parts: up to which row, the digest of those behind the part before, its files' SHA-256.

    None where there is none, where a file is damaged, or it knows other rows than the first here.
    """
    import polars as pl

    try:
        parts = json.loads((folder / "state.json").read_text(encoding="utf-8"))["parts"]
        ends = [0, *(end for end, *_ in parts)]
        if not 0 < ends[-1] <= len(opened) or any(
            _sum(folder / name) != known for *_, files in parts for name, known in files.items()
        ):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if any(digest(opened[begin:end]) != known for begin, (end, known, _) in zip(ends, parts, strict=False)):
        return None
    pieces: dict[str, list] = {}
    for name in (name for *_, files in parts for name in files):
        # mapped, and written to in memory alone
        array = name.endswith(".npy")
        piece = np.load(folder / name, "c", allow_pickle=False) if array else pl.read_ipc(folder / name)
        pieces.setdefault(_kind(name), []).append(np.asarray(piece) if array else piece)
    one = {kind: found[0] if len(found) == 1 else _joined(found) for kind, found in pieces.items()}
    return Curated(
        ends[-1],
        one["ruled"],
        one["told"],
        Tokens(one["words"], one["starts"], one["vocabulary"]["words"]),
        one["first"],
        Witnesses(one["witness"], one["score"], one["same"]),
        tuple(one[kind] for kind in WHOLE),
    ), parts


def _joined(pieces: list):
    import polars as pl

    return np.concatenate(pieces) if isinstance(pieces[0], np.ndarray) else pl.concat(pieces)
