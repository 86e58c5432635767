"""What tests of several commands start from."""

import pytest


@pytest.fixture
def empty_project(tmp_path, vpo_home, monkeypatch):
    """The folder of a project without a stage and with an empty $VPO_HOME; it is the working folder."""
    folder = tmp_path / "a project"
    (folder / ".dvc").mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).touch()
    monkeypatch.chdir(folder)
    return folder
