import hashlib
import json
import subprocess
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from vpo.comparing.runs import (
    WORKSPACE,
    Run,
    cache_folder,
    find_first_run,
    find_revision,
    open_run,
    show_file,
    tables_of,
)
from vpo.graph import read_graph


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_an_experiment_is_found_by_its_name_and_a_revision_by_git(repository):
    head = find_revision(repository, "HEAD")
    subprocess.run(["git", "update-ref", "refs/exps/ab/cd/proud-bee", head], cwd=repository, check=True)
    assert len(head) == 40 and find_revision(repository, "proud-bee") == head
    with pytest.raises(click.ClickException, match="no experiment shy-cat; there are proud-bee"):
        find_revision(repository, "shy-cat")


def test_a_commit_without_a_lock_keeps_no_run(repository):
    with pytest.raises(click.ClickException, match=r"HEAD: no run is kept there \(dvc.lock is not in it\)"):
        open_run(repository, "HEAD", repository / "x")


@pytest.mark.slow
def test_the_cache_is_where_the_config_says(tmp_path):
    assert cache_folder(tmp_path) == tmp_path / ".dvc/cache"
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[cache]\n    dir = /elsewhere\n")
    assert cache_folder(tmp_path) == Path("/elsewhere")


def git(folder, *words):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


GRAPH = "stages:\n  evaluate:\n    cmd: python -m pipeline evaluate data/queries data/eval data/evaluate.jsonl\n"
PARAMS = "evaluate:\n  arms:\n    dpo: {}\n  suites:\n    test: {}\n    hard: {}\n"


@pytest.fixture
def kept(tmp_path):
    """A project in a folder of a repository, whose last commit has a run with every table in DVC's cache."""
    root = tmp_path / "above/project"
    root.mkdir(parents=True)
    git(tmp_path / "above", "init", "-q")
    (root / "dvc.yaml").write_text(GRAPH)
    (root / "params.yaml").write_text(PARAMS)
    tables = [*tables_of(Run(WORKSPACE, YAML(typ="safe").load(PARAMS), root, read_graph(root)))]
    outs = []
    for table in tables:
        digest = hashlib.md5(table.encode()).hexdigest()
        path = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(table)
        outs.append({"path": table, "md5": digest})
    (root / "dvc.lock").write_text(json.dumps({"stages": {"evaluate": {"outs": outs}, "other": {"cmd": "x"}}}))
    git(root, "add", "dvc.yaml", "params.yaml", "dvc.lock")
    git(root, "commit", "-qm", "x")
    return root, tables


def test_the_tables_of_a_run_are_those_of_every_suite_arm_and_row_and_what_was_dropped(kept):
    _, tables = kept
    names = ("rollout", "critique", "render", "reward")
    assert sorted(tables) == sorted(
        f"data/{path}"
        for suite in ("test", "hard")
        for path in [
            f"queries/{suite}.jsonl",
            *(f"eval/{suite}/dpo/{name}.{'jsonl' if name[0] in 'rc' and name[1] in 'or' else 'parquet'}"
              for name in names),
            *(f"eval/{suite}/dpo/{name}_dropped.jsonl" for name in names),
        ]
    )  # fmt: skip


def test_a_run_of_a_commit_is_opened_with_its_params_and_its_tables_of_the_cache(kept, tmp_path):
    root, tables = kept
    (root / "params.yaml").write_text("evaluate: {arms: {}}\n")  # of the workspace, not of the run
    run = open_run(root, "HEAD", tmp_path / "out")
    assert run.tree == YAML(typ="safe").load(PARAMS) and (run.name, run.folder) == ("HEAD", tmp_path / "out")
    assert {table: (run.folder / table).read_text() for table in tables} == {table: table for table in tables}


def test_a_table_that_the_cache_has_lost_is_named_with_the_way_out(kept, tmp_path):
    root, tables = kept
    digest = hashlib.md5(tables[3].encode()).hexdigest()
    (root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()
    with pytest.raises(click.ClickException, match=f"HEAD: {tables[3]} is no longer in DVC's cache: run `dvc fetch`"):
        open_run(root, "HEAD", tmp_path / "out")


def test_the_workspace_is_a_run_where_every_table_is_there(kept, tmp_path):
    root, tables = kept
    for table in tables:
        (root / table).parent.mkdir(parents=True, exist_ok=True)
        (root / table).write_text("x")
    run = open_run(root, WORKSPACE, tmp_path / "out")
    assert (run.folder, run.tree) == (root, YAML(typ="safe").load(PARAMS))
    (root / tables[2]).unlink()
    with pytest.raises(click.ClickException, match=f"workspace: {tables[2]} is not there: run `dvc repro evaluate`"):
        open_run(root, WORKSPACE, tmp_path / "out")


def test_the_first_run_is_the_last_commit_else_the_oldest_experiment_else_the_last_commit(kept):
    root, _ = kept
    assert find_first_run(root) == "HEAD"
    with_run = git(root, "rev-parse", "HEAD")
    git(root, "rm", "-q", "--cached", "dvc.lock")
    git(root, "commit", "-qm", "no run")
    assert find_first_run(root) == "HEAD"
    bare = git(root, "rev-parse", "HEAD")
    for name, commit in (("celery/stash", with_run), ("ab/cd/empty", bare), ("ab/cd/proud-bee", with_run)):
        git(root, "update-ref", f"refs/exps/{name}", commit)
    assert find_first_run(root) == "proud-bee"


def test_a_file_of_a_commit_is_read_from_the_projects_own_folder(kept):
    root, _ = kept
    assert show_file(root, "HEAD", "params.yaml") == PARAMS
    assert show_file(root, "HEAD", "none.yaml") is None
