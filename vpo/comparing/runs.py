"""A run as it lies in the folder, or as git and DVC's cache have kept it."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from schemas.params import Params
from vpo.graph import Graph, read_graph

WORKSPACE = "workspace"
TABLES = ("rollout.jsonl", "critique.jsonl", "render.parquet", "reward.parquet")


@dataclass(frozen=True)
class Run:
    """The params of a run (`tree` as the file has them) and a folder with the tables that its evaluation read."""

    name: str
    tree: dict[str, Any]
    folder: Path
    graph: Graph

    @cached_property
    def params(self) -> Params:
        """The params, typed. Raises DataError where today's types refuse them."""
        from pipeline.runtime.params_file import check_params

        return check_params(self.tree, f"{self.graph.params_file} of {self.name}")


def open_run(root: Path, name: str, folder: Path, recipe: str = "") -> Run:
    """Return a run by the name of an experiment or a git revision; its tables are put into `folder`.

    Raises ClickException where there is no such run, or where its tables are no longer in DVC's cache.
    """
    from ruamel.yaml import YAML

    graph = read_graph(root, recipe)
    yaml = YAML(typ="safe")
    if name == WORKSPACE:
        tree = yaml.load((root / graph.params_file).read_text(encoding="utf-8"))
        run = Run(name, tree, root, graph)
        if missing := [path for path in tables_of(run) if not (root / path).is_file()]:
            raise click.ClickException(f"workspace: {missing[0]} is not there: run `dvc repro evaluate`")
        return run
    revision = find_revision(root, name)
    tree = yaml.load(show_file(root, revision, graph.params_file) or "")
    lock = yaml.load(show_file(root, revision, graph.lock) or "") or {}
    if not tree or not lock:
        raise click.ClickException(
            f"{name}: no run is kept there ({graph.lock} is not in it); `dvc exp show` lists the experiments, and "
            f"`dvc exp save` keeps what is in the workspace"
        )
    run = Run(name, tree, folder, graph)
    cache = cache_folder(root)
    hashes = {out["path"]: out.get("md5", "") for stage in lock["stages"].values() for out in stage.get("outs", [])}
    for path in tables_of(run):
        md5 = hashes.get(path, "")
        kept = cache / "files/md5" / md5[:2] / md5[2:]
        if not kept.is_file():
            raise click.ClickException(f"{name}: {path} is no longer in DVC's cache: run `dvc fetch`, or the run again")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(kept)
    return run


def tables_of(run: Run) -> Iterator[str]:
    """Yield the paths of the tables that an evaluation reads, by the graph of today and the arms of the run."""
    stage = run.graph.running("evaluate")[0]
    queries, folder, *_ = stage.paths
    for suite in run.tree["evaluate"].get("suites", {"test": {}}):
        yield f"{queries}/{suite}.jsonl"
        for arm in run.tree["evaluate"]["arms"]:
            for table in TABLES:
                yield f"{folder}/{suite}/{arm}/{table}"
                yield f"{folder}/{suite}/{arm}/{Path(table).stem}_dropped.jsonl"


def find_first_run(root: Path, recipe: str = "") -> str:
    """Return HEAD where the last commit holds a run, else the oldest experiment (`make demo` keeps one), else HEAD."""
    lock = read_graph(root, recipe).lock
    if show_file(root, "HEAD", lock) is None:
        listed = git(root, "for-each-ref", "refs/exps", "--sort=committerdate", "--format=%(refname)") or ""
        for ref in listed.splitlines():
            if "/celery/" not in ref and show_file(root, ref, lock) is not None:
                return ref.rpartition("/")[2]
    return "HEAD"


def find_revision(root: Path, name: str) -> str:
    """Return the commit of an experiment of DVC, else of a git revision. Raises ClickException with the experiments."""
    listed = git(root, "for-each-ref", "refs/exps", "--format=%(objectname) %(refname)") or ""
    experiments: Mapping[str, str] = {
        ref.rpartition("/")[2]: commit
        for commit, _, ref in (line.partition(" ") for line in listed.splitlines())
        if "/celery/" not in ref
    }
    if name in experiments:
        return experiments[name]
    if commit := git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
        return commit.strip()
    raise click.ClickException(f"no experiment {name}; there are {', '.join(experiments) or 'none'}")


def show_file(root: Path, revision: str, path: str) -> str | None:
    """Return a file of a commit, None where it has none."""
    prefix = (git(root, "rev-parse", "--show-prefix") or "").strip()
    return git(root, "show", f"{revision}:{prefix}{path}")


def cache_folder(root: Path) -> Path:
    """Return DVC's cache: .dvc/cache, but where its config says another one."""
    if not (root / ".dvc/config").is_file() or not (root / ".dvc/config").read_text(encoding="utf-8").strip():
        return root / ".dvc/cache"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"], cwd=root, capture_output=True, text=True, check=False
    )
    return Path(done.stdout.strip()) if done.returncode == 0 else root / ".dvc/cache"


def git(root: Path, *words: str) -> str | None:
    """Return what git prints, None where it refuses."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
