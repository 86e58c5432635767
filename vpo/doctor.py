"""`vpo doctor`: what a run needs, checked, each with what to do where it is missing."""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from vpo.project import find_project
from vpo.versions import out_of_range, untested

EXTRAS = {
    "openai": ("openai",),
    "hub": ("datasets", "huggingface_hub"),
    "video": ("av",),
    "plots": ("matplotlib",),
    "language": ("pycld2",),
    "train": ("torch", "transformers", "trl", "peft", "accelerate"),
    "render": ("diffusers", "ftfy", "sentencepiece"),
    "reward": ("transformers", "PIL"),
    "ray": ("ray",),
}
LEAST_FREE = 2 * 2**30  # bytes; a laptop run writes a few hundred MB, the store beside it as much


@dataclass(frozen=True)
class Check:
    """One thing looked at; `todo` is empty where all is well or nothing needs doing."""

    name: str
    ok: bool
    found: str
    todo: str = ""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of objects.")
@click.option("--online", is_flag=True, help="Also connect to the hosts of the teacher and the judge.")
def main(as_json, online):
    """Check what a run needs, and say what to do; ends with 1 where something is wrong."""
    checks = list(examine(find_project(), online))
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], ensure_ascii=False))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'MEND'} {check.name}: {check.found}")
            if check.todo:
                click.echo(f"     -> {check.todo}")
    sys.exit(0 if all(check.ok for check in checks) else 1)


def examine(root: Path, online: bool = False) -> Iterator[Check]:
    """Yield every check of the project at `root`; without `online` no network is touched."""
    from pipeline.runtime.params_file import ParamsError, load_params
    from pipeline.runtime.store import home

    yield python(sys.version_info[:3])
    params, said = None, "valid"
    try:
        params = load_params(root / "params.yaml")
    except ParamsError as fault:
        said = fault.format_message()
    yield Check("params.yaml", params is not None, said, "" if params else "correct the named keys")
    yield core(root)
    yield from extras(needed(params) if params else set(), root)
    yield dvc()
    yield rwlock(root)
    yield vpo_home(home())
    for place, folder in (("project", root), ("VPO_HOME", home())):
        yield free_space(place, folder)
    if params:
        yield outside_file(root, "queries.path", params.queries.path if params.queries.source == "file" else None)
        for given in params.queries.benchmarks:
            yield outside_file(root, "queries.benchmarks", given)
        yield outside_file(root, "d_sft.path", params.d_sft.path)
        yield outside_file(root, "d_dpo.path", params.d_dpo.path)
        for seam, teacher in (("teacher", params.teacher), ("judge", params.judge)):
            yield backend(seam, teacher, online)


def python(version: tuple[int, int, int]) -> Check:
    ok = version >= (3, 11)
    return Check("python", ok, ".".join(map(str, version)), "" if ok else "make a venv with Python 3.11 or newer")


def needed(params) -> set[str]:
    """Return the extras without which the graph of these params cannot run."""
    extra = {"video", "plots", "train"}
    if "openai" in (params.teacher.backend, params.judge.backend):
        extra.add("openai")
    if params.queries.source == "hub" or params.base_model.backend == "hub":
        extra.add("hub")
    if params.queries.languages is not None:
        extra.add("language")
    if params.render.backend == "diffusers":
        extra.add("render")
    if params.render.backend == "http":
        extra.add("openai")
    if any(not model.backend.startswith("offline") for model in params.reward.models.values()):
        extra.add("reward")
    if os.environ.get("VPO_EXECUTOR") == "ray":
        extra.add("ray")
    return extra


def core(root: Path) -> Check:
    """The libraries that every command needs."""
    wrong, other = out_of_range(), untested("", root / "constraints.txt")
    found = "; ".join(wrong or other) or "installed"
    return Check("libraries", not wrong, found, "pip install -e . -c constraints.txt" if wrong or other else "")


def extras(wanted: set[str], root: Path) -> Iterator[Check]:
    for extra, modules in EXTRAS.items():
        lacking = [f"without {name}" for name in modules if importlib.util.find_spec(name) is None]
        wrong, other = out_of_range(extra), untested(extra, root / "constraints.txt")
        bad = lacking + wrong
        mend = f"pip install 'vpo[{extra}]'" if bad else f"pip install -e '.[{extra}]' -c constraints.txt"
        yield Check(
            f"extra {extra}",
            not bad or extra not in wanted,
            "; ".join(bad or other) or "installed",
            mend if bad or other else "",
        )


def dvc() -> Check:
    found = shutil.which("dvc")
    return Check(
        "dvc", bool(found), "on PATH" if found else "not on PATH", "" if found else "source .venv/bin/activate"
    )


def rwlock(root: Path) -> Check:
    """A dvc killed at the wrong moment leaves a lock file that every later run stumbles over."""
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Check("dvc lock", True, "free")
    except ValueError:
        return Check("dvc lock", False, "broken by a killed dvc", "stop every dvc here, then delete .dvc/tmp/rwlock")
    return Check("dvc lock", True, "readable")


def vpo_home(folder: Path) -> Check:
    """The store of paid answers and clips."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    ok = nearest.is_dir() and os.access(nearest, os.W_OK)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    found = f"{folder}, {size / 2**20:.0f} MB" if ok else f"{folder} cannot be written"
    return Check("VPO_HOME", ok, found, "" if ok else "set VPO_HOME to a folder of yours")


def free_space(place: str, folder: Path) -> Check:
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    ok = free >= LEAST_FREE
    return Check(
        f"disk ({place})", ok, f"{free / 2**30:.1f} GB free", "" if ok else "free some space: a full disk stops a run"
    )


# param -> the stage that reads the file, and where that stage's metrics lie
OUTSIDE = {
    "queries.path": ("queries", "results/queries.json"),
    "queries.benchmarks": ("queries", "results/queries.json"),
    "d_sft.path": ("d_sft", "results/sft/d_sft.json"),
    "d_dpo.path": ("d_dpo", "results/dpo/d_dpo.json"),
}


def outside_file(root: Path, name: str, given: str | None) -> Check:
    """A file from outside may change under a finished run; DVC watches data/raw alone."""
    stage, counted = OUTSIDE[name]
    if given is None:
        return Check(name, True, "no file is read")
    path = root / given
    if not path.is_file():
        return Check(name, False, f"{given} is not there", f"put the file there, or set {name} to it")
    metrics = root / counted
    counts = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else {}
    if name == "queries.benchmarks":
        before = counts.get("benchmarks", {}).get(path.name, {}).get("sha256")
    else:
        before = counts.get("source_sha256")
    if before is None:
        return Check(name, True, f"{given}, not read by a run yet")
    with path.open("rb") as file:
        now = hashlib.file_digest(file, "sha256").hexdigest()
    if now == before:
        return Check(name, True, f"{given} is what the last run read")
    return Check(name, False, f"{given} changed since the last run", f"dvc repro --force {stage}, then dvc repro")


def backend(seam: str, params, online: bool) -> Check:
    if params.backend == "offline":
        return Check(seam, True, f"offline {params.model}: needs no network")
    address = urlsplit(params.base_url or "https://api.openai.com/v1")
    host = address.netloc.rpartition("@")[2]  # never a name and password
    variable = params.api_key_env or "OPENAI_API_KEY"
    if not os.environ.get(variable):
        return Check(seam, False, f"{params.model} at {host}: no key", f"set ${variable}")
    if not online:
        return Check(seam, True, f"{params.model} at {host}: key in ${variable}; --online also connects")
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname, port), timeout=5).close()
    except OSError as fault:
        return Check(seam, False, f"{host}: {fault}", f"check {seam}.base_url and the network")
    return Check(seam, True, f"{params.model} at {host}: it listens")
