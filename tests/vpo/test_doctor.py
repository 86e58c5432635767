import hashlib
import itertools
import json
import shutil
import socket

import pytest
from click.testing import CliRunner

from pipeline.runtime.io import write_json
from pipeline.runtime.params_file import load_params
from schemas.params import Params, SemanticParams
from tests.support.params import with_values
from tests.support.small_project import write_params
from vpo.damage import check_rwlock
from vpo.doctor import (
    EXTRAS,
    OUTSIDE,
    check_backend,
    check_disk,
    check_extras,
    check_home,
    check_outside_file,
    check_python,
    check_sentence_model,
    check_temporary,
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
    asked = laptop.model_copy(update={"judge": with_values(laptop.judge, backend="openai", model="m")})
    assert "openai" in needed_extras(asked)


def test_a_sentence_model_that_is_missing_is_told_with_its_extra(laptop, tmp_path):
    assert check_sentence_model(tmp_path, None).ok and "semantic" not in needed_extras(laptop)
    semantic = SemanticParams(model="no/such/folder", revision=None, threshold=0.9)
    queries = laptop.queries.model_copy(update={"semantic": semantic})
    assert "semantic" in needed_extras(laptop.model_copy(update={"queries": queries}))
    check = check_sentence_model(tmp_path, semantic)
    assert not check.ok and check.todo


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


def test_every_thing_that_a_run_needs_is_looked_at_in_one_order(project):
    write_params(project, queries={"benchmarks": ["data/raw/bench.txt"]})
    names = [check.name for check in examine(project)]
    extras = [f"extra {name}" for name in EXTRAS]
    assert names == [
        "python", "params.yaml", "libraries", *extras, "dvc", "graph", "dvc lock", "dvc.lock", "folders", "outputs",
        "dvc cache", ".gitignore", "store", "account", "VPO_HOME", "disk (project)", "disk (VPO_HOME)",
        "disk (temporary files)", "queries.path", "queries.benchmarks", "queries.semantic", "d_sft.path", "d_dpo.path",
        *load_params(project / "params.yaml").backends,
    ]  # fmt: skip


@pytest.mark.parametrize(("least", "ok"), [(1, True), (2**62, False)])
def test_room_is_looked_for_where_a_folder_will_lie(tmp_path, least, ok):
    check = check_disk("project", tmp_path / "none/yet", least)
    assert (check.name, check.ok, bool(check.todo)) == ("disk (project)", ok, not ok)
    free = shutil.disk_usage(tmp_path).free
    assert float(check.state.removesuffix(" GB free")) == pytest.approx(free / 2**30, abs=0.5)


def test_a_folder_for_temporary_files_is_needed_and_named(tmp_path):
    def find_none():
        raise FileNotFoundError(2, "No usable temporary directory")

    assert not (check := check_temporary(find_none)).ok and "set TMPDIR to another folder" in check.todo
    assert check_temporary(lambda: str(tmp_path)).name == "disk (temporary files)"


def test_the_bytes_of_a_home_are_those_of_all_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    for name, size in (("a/x", 2 * 2**20), ("y", 2**20)):
        (tmp_path / name).write_bytes(b"0" * size)
    check = check_home(tmp_path)
    assert (check.ok, check.state, check.todo) == (True, f"{tmp_path}, 3 MB", "")
    (tmp_path / "file").write_text("")
    broken = check_home(tmp_path / "file")
    assert (broken.ok, broken.state) == (False, f"{tmp_path / 'file'} cannot be written")
    assert broken.todo == "set VPO_HOME to a folder of yours"


def test_no_file_from_outside_needs_no_look_and_another_metric_is_not_its_own(project):
    assert check_outside_file(project, "queries.path", None).state == "no file is read"
    (project / "data/raw").mkdir(parents=True)
    (project / "data/raw/b.txt").write_text("x")
    write_json(project / "results/queries.json", {"source_sha256": "1", "benchmarks": {"c.txt": {"sha256": "2"}}})
    assert check_outside_file(project, "queries.benchmarks", "data/raw/b.txt").ok
    changed = check_outside_file(project, "queries.path", "data/raw/b.txt")
    assert (changed.ok, changed.todo) == (False, "dvc repro --force queries, then dvc repro")


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({"queries": {"source": "hub", "path": "a/b", "revision": "0" * 40}}, "hub"),
        ({"queries": {"languages": ["en"]}}, "language"),
        ({"teacher": {"backend": "openai", "model": "m"}}, "openai"),
    ],
)  # fmt: skip
def test_params_need_the_extras_of_what_they_name(laptop, changes, extra):
    tree = laptop.model_dump()
    for section, values in changes.items():
        tree[section] |= values
    params = Params.model_validate(tree)
    assert extra in needed_extras(params) and {"video", "plots", "train"} <= needed_extras(params)
    assert (extra in needed_extras(laptop)) == (extra == "language" and laptop.queries.languages is not None)


def test_ray_is_needed_where_the_environment_asks_for_it(laptop, monkeypatch):
    monkeypatch.delenv("VPO_EXECUTOR", raising=False)
    assert "ray" not in needed_extras(laptop)
    monkeypatch.setenv("VPO_EXECUTOR", "ray")
    assert "ray" in needed_extras(laptop)


def test_what_is_offline_needs_no_network_and_a_program_must_be_there(project, laptop):
    assert check_backend("teacher", laptop.teacher, online=False).state == "offline grammar: needs no network"
    render = load_params(
        write_params(
            project,
            render={
                "backend": "command",
                "model": "m",
                "revision": "r",
                "command": ["no-such-program", "{manifest}", "{clips}"],
            },
        )
    ).render
    check = check_backend("render", render, online=False)
    assert (check.ok, check.todo) == (False, "install it, or correct the program in render")
    assert check.state == "command m: there is no program no-such-program"


def test_what_is_asked_is_named_with_its_host_and_the_variable_of_its_key(project, monkeypatch):
    params = teacher(project, "http://me:password@127.0.0.1:9/v1")
    monkeypatch.delenv("KEY_OF_THE_TEST", raising=False)
    assert check_backend("teacher", params, online=True).state == "m at 127.0.0.1:9: no key"
    monkeypatch.setenv("KEY_OF_THE_TEST", "x")
    assert check_backend("teacher", params, online=False).state == (
        "m at 127.0.0.1:9: key in $KEY_OF_THE_TEST; --online also connects"
    )
    down = check_backend("teacher", params, online=True)
    assert down.state.startswith("127.0.0.1:9: ") and down.todo == "check teacher.base_url and the network"


def test_a_line_says_ok_or_what_to_do_and_the_exit_whether_all_is_well(project, monkeypatch):
    monkeypatch.chdir(project)
    done = CliRunner().invoke(main)
    lines = done.stdout.splitlines()
    assert {line[:5] for line in lines} <= {"ok   ", "MEND ", "     "}
    assert (done.exit_code == 1) == any(line.startswith("MEND") for line in lines)
    for line, following in itertools.pairwise(lines):
        assert not line.startswith("MEND") or following.startswith("     -> ")
