"""What asks the loopback server."""

import pytest

from pipeline.backends.teacher.openai import OpenAI
from pipeline.llm.calls.batch import Sizes
from pipeline.llm.calls.engine import Engine
from pipeline.runtime.store import Store
from tests.support.params import with_values


@pytest.fixture
def teacher(laptop, tmp_path, monkeypatch, vpo_home):
    """Return a teacher that asks in batches, and looks after them so often that no test waits."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")

    def make(server, sizes=None, store="store", **changes):
        settings = dict(backend="openai", model="m", base_url=server.base_url, attempts=3, timeout_s=60.0, mode="batch")
        params = with_values(laptop.teacher, **settings | changes)
        sizes = Sizes(**{"first_look_s": 0.01, "longest_look_s": 0.02} | (sizes or {}))
        engine = Engine("teacher", params, Store(tmp_path / store), sizes=sizes)
        return OpenAI(params, engine=engine)

    return make


@pytest.fixture
def engine(laptop, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")

    def make(server, **changes):
        params = with_values(
            laptop.teacher,
            **dict(backend="openai", model="m", base_url=server.base_url, attempts=3, timeout_s=60.0) | changes,
        )
        return Engine("teacher", params, Store(tmp_path / "store"))

    return make
