import hashlib
import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.runtime.store import Purchase, Store
from tests.support.small_project import write_params
from vpo.damage import (
    check_folders,
    check_graphs,
    check_locks,
    check_rwlock,
    check_store,
    find_lock_fault,
    is_running,
    is_writable,
    mend_project,
    read_whole_graphs,
    runs_dvc,
    set_aside,
    shorten,
)
from vpo.doctor import main

LOCK = """schema: '2.0'
stages:
  a:
    cmd: x
    outs:
    - path: data/a
      hash: md5
      md5: 1234
  b:
    cmd: y
"""
WHOLE_LOCK = """schema: '2.0'
stages:
  a:
    cmd: x
    deps:
    - path: data/in
      hash: md5
      md5: 0a1b2c3d4e5f
      size: 12
    params:
      params.yaml:
        base.seed: 0
        world.load: 0.5
    outs:
    - path: data/out
      hash: md5
      md5: 5f4e3d2c1b0a.dir
      size: 34
      nfiles: 2
"""


@pytest.fixture
def project(tmp_path, vpo_home, monkeypatch):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    write_params(tmp_path)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LOCK, ""),
        ("", "empty"),
        (LOCK[:-10], "cut at stage b"),
        (LOCK[:60], "cut at stage a"),
        ("schema: '2", "broken: "),
        ("stages: [a]\n", "no lock of stages"),
        ("\0\0\0", "broken: "),
        (LOCK + "    params:\n      params.yaml\n", "not as DVC writes it: expected a dictionary"),
        (LOCK + "    deps:\n", "not as DVC writes it: expected a list"),
        (LOCK.replace("md5: 1234", "md5: 1234\n      size:"), "not as DVC writes it: expected int"),
        (LOCK.replace("schema: '2.0'\n", ""), "not as DVC writes it: required key not provided"),
        (LOCK + "dat\n", "broken: "),
    ],
)
def test_a_lock_that_is_not_whole_is_known(tmp_path, text, fault):
    (tmp_path / "dvc.lock").write_text(text)
    found = find_lock_fault(tmp_path / "dvc.lock")
    assert found.startswith(fault) and bool(found) == bool(fault)
    assert find_lock_fault(tmp_path / "none.lock") == ""


def test_wherever_a_lock_is_cut_what_dvc_refuses_is_known(tmp_path):
    """The whole lock of a stage with all that DVC writes, ended after each of its bytes."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    cmd: x\n")
    repo = Repo.init(str(tmp_path), no_scm=True)
    refused = []
    for end in range(1, len(WHOLE_LOCK) + 1):
        (tmp_path / "dvc.lock").write_text(WHOLE_LOCK[:end])
        try:
            Lockfile(repo, str(tmp_path / "dvc.lock")).load()
        except (DvcException, AttributeError):
            refused.append(end)
    unknown = []
    for end in refused:
        (tmp_path / "dvc.lock").write_text(WHOLE_LOCK[:end])
        if not find_lock_fault(tmp_path / "dvc.lock"):
            unknown.append(WHOLE_LOCK[:end][-40:])
    assert len(refused) > 50 and unknown == []


def test_a_torn_lock_is_named_and_set_aside(project):
    (project / "dvc.lock").write_text("schema: '2")
    (project / ".dvc/tmp/rwlock").write_text('{"a')
    said = CliRunner().invoke(main)
    assert said.exit_code == 1 and "MEND dvc.lock: broken" in said.output and "vpo doctor --mend" in said.output
    assert CliRunner().invoke(main, ["--mend"]).output.count("mended: ") == 2
    assert not (project / "dvc.lock").exists() and len(list(project.glob("dvc.lock.broken-*"))) == 1
    assert list(mend_project(project)) == []


def fill(n):
    with Store() as store:
        for number in range(n):
            purchase = Purchase(f"k{number:04d}", "teacher", {}, {"text": "x" * 3000}, (1, 1), 0.5)
            store.buy_many([purchase], "account")
        store.connection.execute("pragma wal_checkpoint(truncate)")
        path = store.path
    with Store():
        return path


def test_a_flipped_page_of_the_store_is_found_and_what_can_be_read_is_kept(project):
    path = fill(100)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(content)
    assert not check_store(path.parent).ok
    (line,) = mend_project(project)
    assert "begun anew with" in line and check_store(path.parent).ok
    with Store() as store:
        assert 10 < store.counts()["teacher"] < 100
        assert store.get("k0000") and store.get("k0099")  # what lies before the page and what lies behind it
        assert store.read_spent_usd("account") == 50.0


def test_an_empty_store_is_begun_anew_only_when_it_is_asked_for(project):
    path = fill(3)
    path.write_bytes(b"")
    said = CliRunner().invoke(main).output
    assert "empty, but it held answers" in said and path.read_bytes() == b""
    (line,) = mend_project(project)
    assert "with 0 answers" in line and check_store(path.parent).ok


def test_a_read_only_folder_is_named(project):
    (project / "data").mkdir()
    assert check_folders(project).ok and is_writable(project / "data")
    check = check_folders(project, lambda path: path.name != "data")  # root, as which CI runs, may write everywhere
    assert (check.state, check.todo) == ("data: read-only", "chmod -R u+w data")


def test_a_corrupt_object_is_set_aside_under_its_hash(project, tmp_path):
    content = b"rows"
    digest = hashlib.md5(content).hexdigest()
    path = project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"rowz")
    stage = {"cmd": "x", "outs": [{"path": "data/a", "hash": "md5", "md5": digest, "size": 4}]}
    (project / "dvc.yaml").write_text("stages:\n  a:\n    cmd: x\n    outs: [data/a]\n")
    (project / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"a": stage}}))
    assert list(mend_project(project)) == [
        f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]} is .dvc/tmp/broken/{digest} now; "
        "dvc repro makes its content anew"
    ]
    assert (project / ".dvc/tmp/broken" / digest).read_bytes() == b"rowz" and not path.exists()


@pytest.mark.parametrize(
    ("names", "shown"),
    [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")],
)
def test_of_many_names_the_first_three_are_shown(names, shown):
    assert shorten(names) == shown


@pytest.mark.parametrize(
    ("stage", "whole"),
    [
        ({"cmd": "x"}, True),
        ({"cmd": "x", "deps": [{"path": "a", "md5": "1" * 32}], "outs": [{"path": "b", "md5": "2" * 32}]}, True),
        ({"cmd": "x", "deps": [{"path": "a", "md5": "1" * 32}], "outs": [{"path": "b", "md5": None}]}, False),
        ({"cmd": "x", "deps": [{"path": "a"}]}, False),
        ({"cmd": "x", "outs": [{"md5": "1" * 32}]}, False),
        ({"cmd": "x", "outs": ["b"]}, False),
        ({"cmd": ""}, False),
        ({"outs": []}, False),
        (None, False),
        ("x", False),
    ],
)
def test_a_stage_of_a_lock_is_whole_with_its_command_and_a_hash_of_each_file(tmp_path, stage, whole):
    (tmp_path / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"a": {"cmd": "x"}, "b": stage}}))
    assert find_lock_fault(tmp_path / "dvc.lock") == ("" if whole else "cut at stage b")


def test_the_locks_of_every_graph_are_looked_at(project):
    (project / "recipes/tiny").mkdir(parents=True)
    (project / "recipes/tiny/dvc.lock").write_text("")
    (project / "dvc.lock").write_text(LOCK)
    assert [(check.name, check.ok, check.state) for check in check_locks(project)] == [
        ("dvc.lock", True, "readable"), ("recipes/tiny/dvc.lock", False, "empty"),
    ]  # fmt: skip
    (project / "dvc.lock").unlink()
    assert next(check_locks(project)).state == "not there yet"


def test_a_lock_of_dvc_is_strange_where_its_process_runs_and_is_no_dvc(project):
    mine = os.getpid()
    for held in ({"write": {"a": {"pid": mine}}}, {"read": {"a": [{"pid": 2**22 + 7}, {"pid": mine}]}}):
        (project / ".dvc/tmp/rwlock").write_text(json.dumps(held))
        assert check_rwlock(project, lambda pid: True).ok
        strange = check_rwlock(project, lambda pid: False)
        assert (strange.ok, strange.state) == (False, f".dvc/tmp/rwlock names process {mine}, which is no dvc")
    (project / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {"a": {"pid": 2**22 + 7}}}))
    assert check_rwlock(project, lambda pid: False).state == "readable"
    (project / ".dvc/tmp/rwlock").unlink()
    assert check_rwlock(project).state == "free"
    assert not runs_dvc(mine) or b"dvc" in Path(f"/proc/{mine}/cmdline").read_bytes()
    assert runs_dvc(2**22 + 7) and is_running(mine) and not is_running(2**22 + 7)


def test_a_file_is_set_aside_beside_its_own_place_under_the_time(tmp_path):
    (tmp_path / "a.lock").write_text("x")
    line = set_aside(tmp_path / "a.lock")
    (aside,) = tmp_path.iterdir()
    assert re.fullmatch(r"a\.lock\.broken-\d{8}T\d{6}", aside.name) and aside.read_text() == "x"
    assert line == f"{tmp_path / 'a.lock'} is {aside.name} now"


def test_a_graph_that_cannot_be_read_is_said_in_one_line(project):
    assert check_graphs(project).state == "can be read"
    (project / "dvc.yaml").write_text("stages: [\n")
    broken = check_graphs(project)
    assert not broken.ok and "\n" not in broken.state and len(broken.state) <= 200
    assert broken.todo == "correct it, or git checkout the file" and read_whole_graphs(project) == []
