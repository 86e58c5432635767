"""`vpo publish`: the package to the Hugging Face Hub as one commit."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vpo.graph import read_graph, recipe_option
from vpo.project import find_project

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError


@click.command("publish")
@click.argument("repo")
@click.option("--dry-run", is_flag=True, help="List the files and the commit; touch no network.")
@click.option("--private", is_flag=True, help="Create the repository as private.")
@recipe_option
def main(repo: str, dry_run: bool, private: bool, recipe: str) -> None:
    """Send what stage package made to the Hub dataset REPO (owner/name) in one commit."""
    from pipeline.publishing.secret_scan import secrets_in
    from vpo.storage.garbage import cache

    root = find_project()
    graph = read_graph(root, recipe)
    place = graph.out_of("package")
    folder = root / place
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise click.ClickException(f"{place}: nothing to publish; `dvc repro {graph.target('package')}` makes it")
    if strays := list(find_strays(folder, cache(root))):
        raise click.ClickException(f"{place}: not sent, stage package did not write {', '.join(strays)}")
    if secrets := list(secrets_in(folder)):
        raise click.ClickException(f"{place}: not sent, it holds secrets: {'; '.join(secrets)}")
    names = {path.relative_to(folder).as_posix(): path for path in files}
    summary, description = write_message(folder, root, root / graph.lock)
    for name, path in names.items():
        click.echo(f"{path.stat().st_size:>12,} {name}")
    click.echo(f"commit: {summary}\n{description}")
    if not dry_run:
        click.echo(send(repo, names, summary, description, private))


def find_strays(folder: Path, linked_from: Path) -> Iterator[str]:
    """Yield the names in `folder` that stage package does not write, or that hold something else than it does.

    A link is one of them unless it leads into `linked_from`, where DVC may keep what it links.
    """
    from pipeline.package import MADE

    folders = {Path(name).parent.as_posix() for name in MADE}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(linked_from.resolve()):
            yield f"{name} (a link)"
        elif path.is_dir():
            if name not in folders:
                yield f"{name}/"
        elif name not in MADE or not path.is_file():
            yield name
        elif path.suffix == ".parquet" and not is_parquet(path):
            yield f"{name} (no Parquet file)"


def is_parquet(path: Path) -> bool:
    """Return whether a file begins and ends as Parquet does."""
    with path.open("rb") as file:
        begin = file.read(4)
        file.seek(-min(path.stat().st_size, 4), 2)
        return begin == file.read(4) == b"PAR1"


def write_message(folder: Path, root: Path, lock: Path) -> tuple[str, str]:
    """Return the commit's summary and what it was made from: the package's own hash, the git commit, dvc.lock."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()} {hash_of(path)}\n".encode())
    made_from = [("package", digest.hexdigest()), ("git", git_commit(root)), ("dvc.lock", hash_of(lock))]
    return f"vpo package {digest.hexdigest()[:12]}", "\n".join(
        f"{name}: {value or 'none'}" for name, value in made_from
    )


def hash_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def git_commit(root: Path) -> str | None:
    """Return the commit that is checked out, None outside git."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def send(repo: str, names: dict[str, Path], summary: str, description: str, private: bool) -> str:
    """Commit the files and remove tables that are no longer made; return what happened. Raises ClickException."""
    try:
        import httpx2
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
        from huggingface_hub.utils import disable_progress_bars
    except ModuleNotFoundError as fault:
        raise click.ClickException(f"{fault.name} is missing: pip install -e '.[hub]'") from None
    if not get_token():
        raise click.ClickException("no token: set HF_TOKEN or run `hf auth login`")
    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi()
    try:
        api.create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True)
        before = api.repo_info(repo, repo_type="dataset")
        if private and not before.private:
            raise click.ClickException(f"{repo} exists and is public; make it private on the Hub first")
        folders = {name.rpartition("/")[0] for name in names} - {""}
        there = [file.rfilename for file in before.siblings or []]
        stale = [name for name in there if name.rpartition("/")[0] in folders and name not in names]
        commit = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(name, path) for name, path in names.items()),
                *(CommitOperationDelete(name) for name in stale if name.endswith(".parquet")),
            ],
            commit_message=summary,
            commit_description=description,
            repo_type="dataset",
            parent_commit=before.sha,
        )
    except HFValidationError as fault:
        raise click.ClickException(f"{repo}: not a repository's name (owner/name): {_line(fault)}") from None
    except HfHubHTTPError as fault:
        raise click.ClickException(f"{repo}: {explain(fault)}") from None
    except (OSError, httpx2.HTTPError) as fault:
        raise click.ClickException(f"{repo}: the Hub cannot be reached: {_line(fault)}") from None
    if commit.oid == before.sha:
        return f"nothing changed since {commit.oid}: {commit.commit_url}"
    return f"published: {commit.commit_url}"


def explain(fault: "HfHubHTTPError") -> str:
    """Return what an answer of the Hub means for the person, in one line."""
    status = fault.response.status_code if fault.response is not None else None
    meanings: dict[int | None, str] = {
        401: "the token is not accepted; set HF_TOKEN or run `hf auth login`",
        403: "the token may not write there; it needs the role write for this owner",
        412: "the repository changed meanwhile; look at it and run this again",
        429: "the Hub asks to wait; run this again later, what was uploaded is not sent twice",
    }
    return meanings.get(status, f"the Hub answered {status}: {_line(fault)}; nothing is half published, run this again")


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())[:300]
