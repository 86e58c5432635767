import subprocess
from pathlib import Path

import click
import pytest

from vpo.comparing.runs import cache_folder, find_revision, open_run


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
