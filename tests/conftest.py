"""Rows by hand and the settings that every test needs."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def laptop():
    """The params of params.yaml as they are checked in."""
    from pipeline.params import load_params

    return load_params(ROOT / "params.yaml")


@pytest.fixture
def vpo_home(tmp_path, monkeypatch) -> Path:
    """An empty $VPO_HOME."""
    monkeypatch.setenv("VPO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real queries and benchmark lists beside the checkout; tests that need them skip without."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.exists():
        pytest.skip("no shared/data beside the checkout")
    return folder
