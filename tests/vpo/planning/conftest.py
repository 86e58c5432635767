import pytest

from tests.support.gpu_plans import link_parts, write, write_rollouts


@pytest.fixture
def unrendered(tmp_path, vpo_home, monkeypatch):
    """A small project with the graph; nothing is rendered, no query is read from a source."""
    folder = link_parts(tmp_path / "project")
    monkeypatch.chdir(folder)
    write()
    write_rollouts()
    return folder
