import os
import subprocess
import sys

import pytest

from pipeline.runtime.io import DataError
from pipeline.runtime.locks import hold_lock


def test_two_runs_never_write_the_same_output(tmp_path, vpo_home):
    out = tmp_path / "out.jsonl"
    with hold_lock(out), pytest.raises(DataError, match="another run is writing it"), hold_lock(out):
        pass


def test_another_output_is_free_and_the_same_one_again_when_the_run_ends(tmp_path, vpo_home):
    with hold_lock(tmp_path / "a.jsonl"), hold_lock(tmp_path / "b.jsonl"):
        pass
    with hold_lock(tmp_path / "a.jsonl"):
        pass


def test_the_lock_makes_a_home_that_its_owner_alone_may_enter(tmp_path, vpo_home):
    vpo_home.mkdir(mode=0o755)
    with hold_lock(tmp_path / "out.jsonl"):
        assert [path.stat().st_mode & 0o777 for path in (vpo_home, vpo_home / "locks")] == [0o700, 0o700]


def test_a_home_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("VPO_HOME", "/dev/null/home")
    with pytest.raises(DataError, match="home: cannot be written: not a directory; set VPO_HOME"):
        with hold_lock(tmp_path / "out.jsonl"):
            pass


def test_a_stage_stops_when_the_dvc_that_started_it_is_gone(tmp_path, root):
    """A parent starts a child that watches it, prints the child's id and dies."""
    child = (
        "import time; from pipeline.runtime.locks import stop_with_parent as s; s(0.05); "
        "print('up', flush=True); time.sleep(600)"
    )
    parent = (
        "import subprocess, sys, os; "
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE); "
        "p.stdout.readline(); print(p.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent], cwd=root, env={**os.environ, "DVC_STAGE": "x"}, capture_output=True, text=True
    )
    pid = int(done.stdout)
    for _ in range(1200):
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().split()[2] == "Z":
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        subprocess.run(["sleep", "0.1"])
    os.kill(pid, 9)
    pytest.fail("the stage went on after its parent had died")
