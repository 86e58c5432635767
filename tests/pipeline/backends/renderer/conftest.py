import os

import pytest

from tests.support.clip_program import Program


@pytest.fixture
def program(tmp_path, vpo_home, root, monkeypatch):
    """A program that makes clips and can import ours."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "tests")]))
    return Program(tmp_path)
