"""Which files are not those that dvc.lock names: outputs that were edited or cut, and objects of DVC's cache."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vpo.graph import Graph, read_lock


class Locked(NamedTuple):
    """A file that a lock names: its path from the root, its md5, and the output that it is or lies in."""

    path: str
    md5: str
    out: str


def read_locked_files(root: Path, graph: Graph, cache: Path) -> Iterator[Locked]:
    """Yield every file of every output that the graph's lock names.

    A folder is named by the hash of its listing, which lies in DVC's cache; without that it stands for itself.
    """
    for stage in read_lock(root, graph).values():
        for out in stage.get("outs") or []:
            path, md5 = out["path"], str(out.get("md5") or "")
            if listing := read_listing(cache, md5):
                yield from (Locked(f"{path}/{item['relpath']}", item["md5"], path) for item in listing)
            elif md5:
                yield Locked(path, md5, path)


def read_listing(cache: Path, md5: str) -> list[Mapping[str, Any]]:
    """Return the files of a folder by the object that lists them, [] where it is none, not there or corrupt."""
    if not md5.endswith(".dir"):
        return []
    try:
        content = object_path(cache, md5).read_bytes()
    except OSError:
        return []
    if hashlib.md5(content).hexdigest() != md5.removesuffix(".dir"):
        return []
    listing: list[Mapping[str, Any]] = json.loads(content)
    return listing


def object_path(cache: Path, md5: str) -> Path:
    """Return where DVC keeps the content with a hash."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def hash_path(path: Path) -> str:
    """Return the md5 of a file, or that of a folder as DVC makes it, which ends in .dir."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        listing = [{"md5": hash_path(one), "relpath": one.relative_to(path).as_posix()} for one in files]
        # DVC's order is that of the parts of a path
        listing.sort(key=lambda item: item["relpath"].split("/"))
        return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def find_changed_files(root: Path, graph: Graph, cache: Path) -> list[str]:
    """Return the files that are there and have another content than the lock says, and those that lie among them."""
    locked = list(read_locked_files(root, graph, cache))
    changed = [one.path for one in locked if (root / one.path).exists() and hash_path(root / one.path) != one.md5]
    named = {one.path for one in locked}
    for folder in sorted({one.out for one in locked if one.out != one.path}):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and (name := path.relative_to(root).as_posix()) not in named:
                changed.append(name)
    return changed


def find_corrupt_objects(root: Path, graphs: Iterable[Graph], cache: Path) -> list[Path]:
    """Return the objects of DVC's cache that locks name and whose content is not that of their hash.

    DVC trusts what is read-only in its cache and would link it into the workspace.
    """
    names: dict[str, None] = {}
    for graph in graphs:
        for stage in read_lock(root, graph).values():
            names.update({str(out["md5"]): None for out in stage.get("outs") or [] if out.get("md5")})
        names.update({one.md5: None for one in read_locked_files(root, graph, cache)})
    paths = {md5: object_path(cache, md5) for md5 in names}
    return [path for md5, path in paths.items() if path.is_file() and hash_path(path) != md5.removesuffix(".dir")]


def find_unignored(root: Path, graphs: Iterable[Graph]) -> list[str]:
    """Return the outputs that git would take in; [] outside git."""
    outs = [out for graph in graphs for stage in graph.stages.values() for out in (*stage.outs, *stage.metrics)]
    if not outs or not (root / ".git").exists():
        return []
    try:
        done = subprocess.run(
            ["git", "check-ignore", "--no-index", "--stdin"],
            cwd=root, input="\n".join(outs), capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        return []
    ignored = set(done.stdout.splitlines())
    return [out for out in outs if out not in ignored]
