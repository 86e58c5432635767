import subprocess
import sys

import pytest
from click.testing import CliRunner

from pipeline.runtime.store import Store
from tests.support.stored_answers import old, run, stored_keys
from vpo.store import main


def test_looking_makes_no_store(empty_project, vpo_home):
    assert "no store here yet" in run("stats", code=1)
    assert not vpo_home.exists()


def test_gc_asks_before_it_removes(empty_project):
    store = Store()
    store.put("old", "price", {}, {})
    old(store, "old")
    assert CliRunner().invoke(main, ["gc"], input="n\n").exit_code == 1
    assert stored_keys() == {"old"}
    assert CliRunner().invoke(main, ["gc"], input="y\n").exit_code == 0
    assert stored_keys() == set()


def test_gc_wants_to_know_the_project(empty_project, tmp_path, monkeypatch):
    Store()
    monkeypatch.chdir(tmp_path)
    assert "no project here or above" in run("gc", "--yes", code=1)


@pytest.mark.parametrize("text", ["", "30", "x", "d", "5w", "9999999999999d"])
def test_an_age_that_is_none_is_refused(empty_project, text):
    Store()
    run("gc", "--older-than", text, code=2)


@pytest.mark.slow
def test_no_command_but_those_that_write_needs_more_than_the_base_packages():
    code = "import sys; import vpo.store; print([n for n in ('pyarrow', 'openai', 'duckdb') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
