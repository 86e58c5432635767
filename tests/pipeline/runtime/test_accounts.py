import shutil

import pytest

from pipeline.runtime.accounts import (
    ID_FILE,
    account,
    begin_account,
    name_account,
    open_account,
    project_id,
    read_folders,
    read_lost_id,
    take_over,
)
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Purchase, Store


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand in a project that has a name."""
    path = tmp_path / "project"
    (path / ".dvc").mkdir(parents=True)
    (path / ID_FILE).write_text("vpo-1\n")
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def spend(store, usd):
    name = open_account(store, "host", "m")
    store.buy_many([Purchase(f"{name}{usd}", "teacher", {}, {}, (1, 2), usd)], name)
    return store.read_spent_usd(name)


def test_a_project_that_is_moved_or_cloned_keeps_its_account(folder, store, monkeypatch):
    assert spend(store, 20.0) == 20.0
    shutil.copytree(folder, folder.with_name("clone"))
    folder.rename(folder.with_name("moved"))
    for name, usd, total in (("moved", 1.0, 21.0), ("clone", 2.0, 23.0)):
        monkeypatch.chdir(folder.with_name(name))
        assert spend(store, usd) == total
    assert read_folders(store) == sorted(str(folder.with_name(name)) for name in ("clone", "moved", "project"))


def test_a_project_without_a_name_is_counted_by_its_path(folder, store):
    (folder / ID_FILE).unlink()
    assert project_id() == str(folder)
    assert account("host", "m") == f"{folder} host m"


def test_what_was_counted_by_the_path_is_taken_over_once(folder, store):
    store.charge(f"{folder} host m", 1, 2, 3, 5.0)
    assert [spend(store, 1.0), spend(store, 2.0)] == [6.0, 8.0]
    assert store.read_spent_usd(f"{folder} host m") == 0.0


def test_what_was_counted_by_a_path_that_is_gone_is_taken_over_on_demand(folder, store):
    store.charge("/gone/project host m", 1, 2, 3, 5.0)
    store.charge("/gone/project_2 host m", 1, 2, 3, 7.0)
    read_folders(store)
    store.connection.executemany("insert into projects values (?, 'x')", [("/gone/project",), ("/gone/project_2",)])
    assert take_over(store, "/gone/project") == ["/gone/project host m"]
    assert read_folders(store) == ["/gone/project_2"]
    assert spend(store, 1.0) == 6.0
    assert take_over(store, "/gone/project") == []
    assert take_over(store, "/nowhere") == [] and "/gone/project_2" in read_folders(store)


def test_a_new_account_begins_at_0(folder, store):
    spend(store, 5.0)
    assert begin_account() == project_id() != "vpo-1"
    assert spend(store, 1.0) == 1.0


def test_a_project_whose_name_was_lost_buys_nothing_and_gets_it_back(folder, store):
    spend(store, 5.0)
    (folder / ID_FILE).write_text("")
    with pytest.raises(DataError, match="vpo_account: gone or empty, but this project's money is counted as vpo-1"):
        open_account(store, "host", "m")
    assert read_lost_id(store) == "vpo-1"
    name_account("vpo-1")
    assert read_lost_id(store) is None and spend(store, 1.0) == 6.0


def test_who_wants_a_new_account_behind_a_lost_name_has_one(folder, store):
    spend(store, 5.0)
    (folder / ID_FILE).unlink()
    begin_account()
    assert spend(store, 1.0) == 1.0
