"""`vpo doctor`: what a run needs, checked, each with what to do where it is missing."""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import click

from schemas.params import Params, SemanticParams
from schemas.section import BackendParams
from vpo.damage import (
    Check,
    check_account,
    check_cache,
    check_folders,
    check_graphs,
    check_ignored,
    check_locks,
    check_outputs,
    check_rwlock,
    check_store,
    mend_project,
)
from vpo.project import find_project
from vpo.versions import find_untested, out_of_range

EXTRAS = {
    "openai": ("openai",),
    "hub": ("datasets", "huggingface_hub"),
    "video": ("av",),
    "plots": ("matplotlib",),
    "language": ("pycld2",),
    "semantic": ("sentence_transformers",),
    "train": ("torch", "transformers", "trl", "peft", "accelerate"),
    "render": ("diffusers", "ftfy", "sentencepiece"),
    "reward": ("transformers", "PIL"),
    "ray": ("ray",),
}
LEAST_TEMPORARY = 2**28
LEAST_FREE = 2 * 2**30  # bytes; a laptop run writes a few hundred MB, the store beside it as much


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of objects.")
@click.option("--mend", is_flag=True, help="Also set aside what is broken, and keep what can be read of it.")
@click.option("--online", is_flag=True, help="Also connect to the hosts of what is asked over a network.")
def main(as_json: bool, online: bool, mend: bool) -> None:
    """Check what a run needs, and say what to do; ends with 1 where something is wrong."""
    if mend:
        for line in mend_project(find_project()):
            click.echo(f"mended: {line}", err=as_json)
    checks = list(examine(find_project(), online))
    if as_json:
        click.echo(json.dumps([check.as_json() for check in checks], ensure_ascii=False))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'MEND'} {check.name}: {check.state}")
            if check.todo:
                click.echo(f"     -> {check.todo}")
    sys.exit(0 if all(check.ok for check in checks) else 1)


def examine(root: Path, online: bool = False) -> Iterator[Check]:
    """Yield every check of the project at `root`; without `online` no network is touched."""
    from pipeline.runtime.params_file import ParamsError, load_params
    from pipeline.runtime.store import home

    yield check_python(sys.version_info[:3])
    params, verdict = None, "valid"
    try:
        params = load_params(root / "params.yaml")
    except ParamsError as fault:
        verdict = fault.format_message()
    yield Check("params.yaml", params is not None, verdict, "" if params else "correct the named keys")
    yield check_core(root)
    yield from check_extras(needed_extras(params) if params else set(), root)
    yield check_dvc()
    yield check_graphs(root)
    yield check_rwlock(root)
    yield from check_locks(root)
    yield check_folders(root)
    yield check_outputs(root)
    yield check_cache(root)
    yield check_ignored(root)
    yield check_store(home() / "store")
    yield check_account(home() / "store")
    yield check_home(home())
    for place, folder in (("project", root), ("VPO_HOME", home())):
        yield check_disk(place, folder)
    yield check_temporary(tempfile.gettempdir)
    if params:
        yield check_outside_file(root, "queries.path", params.queries.path if params.queries.source == "file" else None)
        for given in params.queries.benchmarks:
            yield check_outside_file(root, "queries.benchmarks", given)
        yield check_sentence_model(root, params.queries.semantic)
        yield check_outside_file(root, "d_sft.path", params.d_sft.path)
        yield check_outside_file(root, "d_dpo.path", params.d_dpo.path)
        for place, section in params.backends.items():
            yield check_backend(place, section, online)


def check_python(version: tuple[int, int, int]) -> Check:
    """Look whether this Python, by (major, minor, micro), is one that we support."""
    ok = version >= (3, 11)
    return Check("python", ok, ".".join(map(str, version)), "" if ok else "make a venv with Python 3.11 or newer")


def needed_extras(params: Params) -> set[str]:
    """Return the extras without which the graph of these params cannot run."""
    needed = {"video", "plots", "train"}
    for section in params.backends.values():
        needed |= {*section.needs.extras}
    if params.queries.source == "hub":
        needed.add("hub")
    if params.queries.languages is not None:
        needed.add("language")
    if params.queries.semantic is not None:
        needed |= {*params.queries.semantic.needs.extras}
    if os.environ.get("VPO_EXECUTOR") == "ray":
        needed.add("ray")
    return needed


def check_core(root: Path) -> Check:
    """The libraries that every command needs."""
    wrong, other = out_of_range(), find_untested("", root / "constraints.txt")
    state = "; ".join(wrong or other) or "installed"
    return Check("libraries", not wrong, state, "pip install -e . -c constraints.txt" if wrong or other else "")


def check_extras(wanted: set[str], root: Path) -> Iterator[Check]:
    for extra, modules in EXTRAS.items():
        lacking = [f"without {name}" for name in modules if importlib.util.find_spec(name) is None]
        wrong, other = out_of_range(extra), find_untested(extra, root / "constraints.txt")
        bad = lacking + wrong
        mend = f"pip install -e '.[{extra}]'" if bad else f"pip install -e '.[{extra}]' -c constraints.txt"
        yield Check(
            f"extra {extra}",
            not bad or extra not in wanted,
            "; ".join(bad or other) or "installed",
            mend if bad or other else "",
        )


def check_dvc() -> Check:
    """Look for the command that runs the graph."""
    path = shutil.which("dvc")
    return Check("dvc", bool(path), "on PATH" if path else "not on PATH", "" if path else "source .venv/bin/activate")


def check_home(folder: Path) -> Check:
    """The store of paid answers and clips."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    ok = nearest.is_dir() and os.access(nearest, os.W_OK)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    state = f"{folder}, {size / 2**20:.0f} MB" if ok else f"{folder} cannot be written"
    return Check("VPO_HOME", ok, state, "" if ok else "set VPO_HOME to a folder of yours")


def check_disk(place: str, folder: Path, least: int = LEAST_FREE) -> Check:
    """Look for `least` bytes where `folder` lies or will lie."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    ok = free >= least
    return Check(
        f"disk ({place})", ok, f"{free / 2**30:.1f} GB free", "" if ok else "free some space: a full disk stops a run"
    )


def check_temporary(find_folder: Callable[[], str]) -> Check:
    """Look for LEAST_TEMPORARY bytes where programs put what they need for a while."""
    try:
        folder = Path(find_folder())
    except OSError as fault:  # Python tried each of them
        return Check("disk (temporary files)", False, str(fault), "make room there, or set TMPDIR to another folder")
    check = check_disk("temporary files", folder, LEAST_TEMPORARY)
    return check if check.ok else replace(check, todo=f"make room in {folder}, or set TMPDIR to another folder")


# param -> the stage that reads the file, and where that stage's metrics lie
OUTSIDE = {
    "queries.path": ("queries", "results/queries.json"),
    "queries.benchmarks": ("queries", "results/queries.json"),
    "d_sft.path": ("d_sft", "results/sft/d_sft.json"),
    "d_dpo.path": ("d_dpo", "results/dpo/d_dpo.json"),
}


def check_outside_file(root: Path, name: str, given: str | None) -> Check:
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


def check_sentence_model(root: Path, params: SemanticParams | None) -> Check:
    """The model that finds queries which mean the same."""
    from pipeline.backends.sentences import find_fault

    if params is None:
        return Check("queries.semantic", True, "no model is read")
    fault = find_fault(params, root)
    return Check(
        "queries.semantic", not fault, fault or params.model, "name a model, or set it to null" if fault else ""
    )


def check_backend(place: str, params: BackendParams, online: bool) -> Check:
    """Look whether a backend has what its params class declares; `place` is its section in params.yaml.

    With `online` the address that it asks, if any, is connected to; nothing is sent there.
    """
    needs = params.needs
    model = needs.weights.model if needs.weights else params.model_dump().get("model")
    who = " ".join(word for word in (params.backend, model) if word)
    if needs.program and not shutil.which(needs.program[0]):
        todo = f"install it, or correct the program in {place}"
        return Check(place, False, f"{who}: there is no program {needs.program[0]}", todo)
    if needs.address is None:
        return Check(place, True, f"{who}: needs no network" if needs.device == "cpu" else f"{who}: works here")
    address = urlsplit(needs.address)
    host = address.netloc.rpartition("@")[2]  # never a name and password
    if lacking := [name for name in needs.keys if not os.environ.get(name)]:
        return Check(place, False, f"{model} at {host}: no key", f"set {', '.join(f'${name}' for name in lacking)}")
    if not online:
        key = f"key in {', '.join(f'${name}' for name in needs.keys)}" if needs.keys else "no key needed"
        return Check(place, True, f"{model} at {host}: {key}; --online also connects")
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname, port), timeout=5).close()
    except OSError as fault:
        return Check(place, False, f"{host}: {fault}", f"check {place}.base_url and the network")
    return Check(place, True, f"{model} at {host}: it listens")
