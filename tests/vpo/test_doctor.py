import hashlib
import json
import socket

import pytest
from click.testing import CliRunner

from pipeline.runtime.io import write_json
from pipeline.runtime.params_file import load_params
from tests.support.params import with_values
from tests.support.small_project import write_params
from vpo.doctor import (
    EXTRAS,
    OUTSIDE,
    check_backend,
    check_extras,
    check_home,
    check_outside_file,
    check_python,
    check_rwlock,
    examine,
    main,
    needed_extras,
)


@pytest.fixture
def project(tmp_path, vpo_home):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    write_params(tmp_path)
    return tmp_path


def found(project, **changes):
    write_params(project, **changes)
    return {check.name: check for check in examine(project)}


def test_a_fresh_project_is_well(project, monkeypatch):
    monkeypatch.chdir(project)
    done = CliRunner().invoke(main, ["--json"])
    checks = json.loads(done.stdout)
    assert {*checks[0]} == {"name", "ok", "found", "todo"}
    assert {check["name"] for check in checks if not check["ok"]} <= {"dvc", "disk (project)", "disk (VPO_HOME)"}
    assert {"python", "params.yaml", "VPO_HOME", "teacher", "queries.path", "dvc lock"} <= {c["name"] for c in checks}


def test_something_wrong_ends_with_1_and_says_what_to_do(project, monkeypatch):
    monkeypatch.chdir(project)
    write_params(project, rollout={"k": 0})
    done = CliRunner().invoke(main)
    assert done.exit_code == 1
    assert "MEND params.yaml: " in done.stdout and "rollout.k" in done.stdout


def test_an_old_python_is_found():
    assert check_python((3, 11, 0)).ok
    assert not check_python((3, 10, 9)).ok


def test_an_extra_is_wanted_only_by_params_that_use_it(laptop):
    assert "openai" not in needed_extras(laptop) and "language" not in needed_extras(laptop)
    asked = laptop.model_copy(update={"judge": with_values(laptop.judge, backend="openai")})
    assert "openai" in needed_extras(asked)


def test_a_missing_extra_is_wrong_only_where_it_is_wanted(tmp_path):
    EXTRAS_BEFORE = dict(EXTRAS)
    EXTRAS["video"] = ("no_such_module",)
    try:
        assert {check.name: check.ok for check in check_extras({"video"}, tmp_path)}["extra video"] is False
        assert {check.name: check.ok for check in check_extras(set(), tmp_path)}["extra video"] is True
    finally:
        EXTRAS.update(EXTRAS_BEFORE)


@pytest.mark.parametrize(("content", "ok"), [(None, True), ("{}", True), ("", False), ('{"read": ', False)])
def test_a_lock_file_broken_by_a_killed_dvc_is_found(tmp_path, content, ok):
    if content is not None:
        (tmp_path / ".dvc/tmp").mkdir(parents=True)
        (tmp_path / ".dvc/tmp/rwlock").write_text(content)
    check = check_rwlock(tmp_path)
    assert check.ok is ok
    assert ok or "delete .dvc/tmp/rwlock" in check.todo


def test_a_home_that_is_a_file_cannot_be_written(tmp_path):
    (tmp_path / "home").write_text("")
    assert not check_home(tmp_path / "home").ok
    assert check_home(tmp_path / "none yet").ok


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_file_from_outside_that_changed_since_the_run_is_noticed(project, name):
    given = "data/raw/mine.txt"
    path = project / given
    path.parent.mkdir(parents=True)
    path.write_text("a dog\n")
    counted = project / OUTSIDE[name][1]
    counted.unlink(missing_ok=True)
    assert check_outside_file(project, name, given).state == f"{given}, not read by a run yet"
    digest = hashlib.sha256(b"a dog\n").hexdigest()
    write_json(counted, {"source_sha256": digest, "benchmarks": {path.name: {"sha256": digest}}})
    assert check_outside_file(project, name, given).ok
    path.write_text("a cat\n")
    changed = check_outside_file(project, name, given)
    assert not changed.ok and "changed since the last run" in changed.state
    path.unlink()
    assert "is not there" in check_outside_file(project, name, given).state


def teacher(project, url):
    params = write_params(
        project, teacher={"backend": "openai", "model": "m", "base_url": url, "api_key_env": "KEY_OF_THE_TEST"}
    )
    return load_params(params).teacher


def test_a_missing_key_is_named_by_its_variable(project):
    check = check_backend("teacher", teacher(project, None), online=False)
    assert not check.ok and check.todo == "set $KEY_OF_THE_TEST"


def test_a_host_is_connected_to_only_when_asked(project, monkeypatch):
    monkeypatch.setenv("KEY_OF_THE_TEST", "secret-of-the-test")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        assert check_backend("teacher", teacher(project, url), online=True).state.endswith("it listens")
    with socket.socket() as held:  # so that no other server gets the port on which nobody listens
        held.bind(("127.0.0.1", 0))
        closed = teacher(project, f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        assert not check_backend("teacher", closed, online=True).ok
    quiet = check_backend("teacher", closed, online=False)
    assert quiet.ok and "secret-of-the-test" not in quiet.state
