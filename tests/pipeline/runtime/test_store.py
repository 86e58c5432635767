import contextlib
import fcntl
import multiprocessing
import os
import signal
import sqlite3
import threading

import pytest

from pipeline.runtime.io import DataError
from pipeline.runtime.store import Purchase, Store, home, project, store_key


def test_an_answer_is_there_after_it_was_put(tmp_path):
    Store(tmp_path).put("k", "teacher", {"q": "狗"}, {"text": "ja"})
    assert Store(tmp_path).get("k") == {"text": "ja"}
    assert Store(tmp_path).get("other") is None


def test_a_store_closes_its_connection_at_the_end_of_a_with_and_when_it_goes(tmp_path):
    with Store(tmp_path) as store:
        used = store.connection
    held = Store(tmp_path)
    dropped = held.connection
    del held
    for connection in (used, dropped):
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("select 1")


def test_the_first_answer_to_a_key_stays(tmp_path):
    store = Store(tmp_path)
    store.put("k", "teacher", {}, {"text": "one"})
    store.put("k", "teacher", {}, {"text": "two"})
    assert store.get("k") == {"text": "one"}


def test_half_a_character_is_kept_as_it_came(tmp_path):
    half = {"text": "狗 \ud83d"}
    store = Store(tmp_path)
    store.put("put", "teacher", half, half)
    store.buy_many([Purchase("bought", "teacher", half, half, (1, 1), 0.0)], "account")
    assert store.get("put") == store.get("bought") == half


def test_a_full_disk_is_named_and_what_was_put_before_stays(tmp_path):
    store = Store(tmp_path)
    store.put("k", "teacher", {}, {"n": 1})
    (pages,) = store.connection.execute("pragma page_count").fetchone()
    store.connection.execute(f"pragma max_page_count={pages + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.put("large", "teacher", {}, {"text": "x" * 100_000})
    assert store.get("k") == {"n": 1}


@pytest.mark.parametrize("cache", [None, "/mnt/cache", "/mnt/other_project/.dvc/cache"])
def test_a_temporary_experiment_belongs_to_its_project(tmp_path, monkeypatch, cache):
    clone = tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc"
    for folder in (tmp_path, clone):
        (folder / ".dvc").mkdir(parents=True, exist_ok=True)
        (folder / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache}\n" if cache else "")
    (clone / "pipeline").mkdir()
    for folder in (tmp_path, clone, clone / "pipeline"):
        monkeypatch.chdir(folder)
        assert project() == tmp_path


def test_keys_depend_on_every_part_and_on_no_order():
    assert store_key("teacher", a=1, b=2) == store_key("teacher", b=2, a=1)
    assert len({store_key("teacher", a=1), store_key("teacher", a=2), store_key("policy", a=1)}) == 3


def test_home_is_where_the_variable_says(vpo_home):
    assert home() == vpo_home


def put_and_die(path):
    store = Store(path)
    for number in range(1000):
        store.put(f"k{number}", "teacher", {}, {"n": number})
        if number == 25:
            os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_put_survives_kill_9(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=put_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    store = Store(tmp_path)
    assert [store.get(f"k{number}") for number in (0, 25)] == [{"n": 0}, {"n": 25}]
    assert store.counts() == {"teacher": 26}


def put_many(path, worker):
    store = Store(path)
    store.put_many((f"w{worker}-{number}", "teacher", {}, {"n": number}) for number in range(200))


@pytest.mark.slow
def test_several_processes_put_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=put_many, args=(tmp_path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Store(tmp_path).counts() == {"teacher": 600}


def test_two_that_open_a_store_at_once_take_turns(tmp_path):
    opened = threading.Event()
    with (tmp_path / "opening.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        other = threading.Thread(target=lambda: (Store(tmp_path), opened.set()))
        other.start()
        assert not opened.wait(0.2) and not (tmp_path / "answers.sqlite").exists()
    other.join()
    assert opened.is_set()


def damage(path, how):
    """Damage a store's file in one of the ways that a disk, a copy or a person can."""
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "noise":
        path.write_bytes(b"no database" + content[11:])
    elif how == "another schema":
        path.unlink()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("create table answers (key text primary key, value text)")
            connection.commit()
    elif how == "older":
        path.unlink()
        with Store(path.parent / "other") as other:
            other.put("k0", "teacher", {}, {"n": 0})
        (path.parent / "other/answers.sqlite").rename(path)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("empty", "empty, but it held answers"),
        ("gone", "gone, but it held answers"),
        ("cut", "not a readable store"),
        ("noise", "not a readable store"),
        ("another schema", "another schema: answers has the columns key, value"),
        ("older", "30 answers were stored in it, this one knows of 1"),
    ],
)
def test_a_store_that_lost_something_is_refused_before_anything_is_bought(tmp_path, how, why):
    with Store(tmp_path) as store:
        store.put_many((f"k{number}", "teacher", {}, {"text": "x" * 4000}) for number in range(30))
        store.connection.execute("pragma wal_checkpoint(truncate)")
    with Store(tmp_path):  # notes how much there is
        pass
    damage(tmp_path / "answers.sqlite", how)
    with pytest.raises(DataError, match=why) as fault:
        Store(tmp_path)
    assert "answers.sqlite" in fault.value.message and "vpo doctor --mend" in fault.value.message
    assert "\n" not in fault.value.message


def test_a_store_in_which_answers_were_forgotten_is_no_damaged_one(tmp_path):
    with Store(tmp_path) as store:
        store.put_many((f"k{number}", "teacher", {}, {}) for number in range(3))
    with Store(tmp_path) as store:
        for number in range(3):
            store.forget(f"k{number}")
    with Store(tmp_path) as store:
        assert store.counts() == {}


def test_its_owner_alone_can_read_the_store(vpo_home):
    vpo_home.mkdir(mode=0o755)
    with Store() as store:
        store.put("k", "teacher", {}, {})
        assert vpo_home.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in (vpo_home / "store").glob("answers*")}
    assert len(modes) == 3 and set(modes.values()) == {0o600}


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/store: no store can be opened here: Not a directory"):
        Store(tmp_path / "file/store")
