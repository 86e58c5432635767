"""Keeps what curation found for a source under $VPO_HOME, so that only rows that are added later need work.

Arrow and npy files with their SHA-256 in state.json, which is put in place last. A state that does not fit (another
rule, other rows at its beginning, a damaged file) is not used, and written anew.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import click
import numpy as np

from pipeline.clean import clean_hash
from pipeline.curation.curated import Curated, curated
from pipeline.curation.diverse import Witnesses
from pipeline.curation.tokens import Tokens, utf8
from pipeline.io import replacing, write_json
from schemas.base import content_id
from schemas.params import Queries

# where rows come from and which are drawn of those that are kept shapes nothing here
NO_RULE = {
    "source", "path", "revision", "query_column", "id_column", "limit", "unsafe_threshold", "sft", "sft_safety", "dpo",
    "dpo_safety", "test", "test_safety", "recheck_template", "sample", "sample_balance", "sample_weights",
    "benchmarks",
}  # fmt: skip

NEWEST = 2
"""How many states of a source stay: one is some 550 MB at VidProM's size."""


def rule_hash(params: Queries) -> str:
    """Return 16 hex digits over all that decides what becomes of a text: the rules' values and the code."""
    folder = Path(__file__).parent
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.[pt][yx]*"))]
    return content_id(clean_hash(), code, params.model_dump(mode="json", exclude=NO_RULE))


def digest(opened) -> str:
    """Return the SHA-256 of opened rows: of all that `curated` reads in them."""
    whole = hashlib.sha256()
    for name in ("text", "reason", "detail"):
        # a missing text is told from an empty one by its length
        whole.update(opened[name].str.len_bytes().cast(int).fill_null(-1).to_numpy())
        text, offsets = utf8(opened[name].fill_null(""))
        whole.update(text[offsets[0] : offsets[-1]])
    whole.update(opened["score"].fill_null(-1.0).to_numpy())
    return whole.hexdigest()


def resumed(opened, params: Queries, folder: Path) -> Curated:
    """Return what becomes of opened rows; `folder` may know the first of them, and knows all of them after this."""
    before, parts = load(folder, opened) or (None, [])
    known = len(before.ruled) if before else 0
    found = before if before and known == len(opened) else curated(opened[known:], params, before)
    if known:
        click.echo(f"  queries: {known} of {len(opened)} rows are known from an earlier run", err=True)
    if known < len(opened):
        save(folder, found, [*parts, [len(opened), digest(opened[known:])]])
    elif known:
        os.utime(folder / "state.json")
    prune(folder)
    return found


def prune(folder: Path) -> None:
    """Remove the states of a source, `folder` being one of them, but for the NEWEST that were used last."""
    source = folder.name.rpartition("-")[2]
    states = sorted(folder.parent.glob(f"*-{source}/state.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in states[:-NEWEST]:
        shutil.rmtree(path.parent, ignore_errors=True)


def save(folder: Path, found: Curated, parts: list) -> None:
    """Write the state; `parts` are what it was made of: up to which row, and the digest of those behind the last."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "words": found.tokens.words, "starts": found.tokens.starts, "first": found.first, "witness": found.found.row,
        "score": found.found.score, "same": found.found.same, "passed": found.matches[0], "kept": found.matches[1],
    }  # fmt: skip
    frames = {"ruled": found.ruled, "vocabulary": found.tokens.vocabulary.to_frame("words")}
    sums = {}
    for name, frame in frames.items():
        sums[f"{name}.arrow"] = _put(folder / f"{name}.arrow", frame.write_ipc)
    for name, array in arrays.items():
        sums[f"{name}.npy"] = _put(folder / f"{name}.npy", lambda path, array=array: _write_array(path, array))
    write_json(folder / "state.json", {"n_rows": len(found.ruled), "parts": parts, "files": sums})


def _put(path: Path, write) -> str:
    with replacing(path) as temporary:
        write(temporary)
        return _sum(temporary)


def _write_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(folder: Path, opened) -> tuple[Curated, list] | None:
    """Return the state and its parts, or None where there is none.

    None, too, where a file is damaged, or it knows other rows than the first here.
    """
    import polars as pl

    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        n_rows, parts, files = state["n_rows"], state["parts"], state["files"]
        ends = [0, *(end for end, _ in parts)]
        if not 0 < n_rows == ends[-1] <= len(opened) or any(
            _sum(folder / name) != known for name, known in files.items()
        ):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if any(digest(opened[begin:end]) != known for begin, (end, known) in zip(ends, parts, strict=False)):
        return None
    array = {name: np.load(folder / name, allow_pickle=False) for name in files if name.endswith(".npy")}
    frame = {name: pl.read_ipc(folder / name) for name in files if name.endswith(".arrow")}
    found = Curated(
        frame["ruled.arrow"],
        Tokens(array["words.npy"], array["starts.npy"], frame["vocabulary.arrow"]["words"]),
        array["first.npy"],
        Witnesses(array["witness.npy"], array["score.npy"], array["same.npy"]),
        (array["passed.npy"], array["kept.npy"]),
    )
    return found, parts
