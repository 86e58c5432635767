import multiprocessing
import os
import signal
import time

import pytest

from pipeline.runtime.claims import FORGOTTEN_S, LEASE_S, Claims
from pipeline.runtime.store import Purchase, Store


@pytest.fixture
def two(tmp_path):
    """Return the claims of two holders in one store."""
    return Claims(Store(tmp_path)), Claims(Store(tmp_path))


def test_a_key_is_claimed_once_and_free_again_when_released(two):
    mine, other = two
    assert (mine.take(["a", "b"]), other.take(["a", "c"])) == ([True, True], [False, True])
    other.release(["a"])  # not its own
    assert other.take(["a"]) == [False]
    mine.release(["a"])
    assert other.take(["a", "b"]) == [True, False]


def test_an_answer_that_is_stored_ends_the_claim(two):
    mine, other = two
    mine.take(["a"])
    mine.store.buy_many([Purchase("a", "teacher", {}, {"n": 1}, (1, 1), 0.0)], "account")
    assert other.take(["a", "b"]) == [{"n": 1}, True]
    other.release(["b"])
    assert mine.store.connection.execute("select count(*) from claims").fetchone() == (0,)


def test_a_lease_ends_unless_it_is_renewed(tmp_path):
    mine, other = Claims(Store(tmp_path), lease_s=-1.0), Claims(Store(tmp_path))
    mine.take(["a"])
    assert other.take(["a"]) == [True]
    mine.lease_s = 60.0
    mine.take(["b"])
    mine.store.connection.execute("update claims set until = 0 where key = 'b'")
    mine.renew()
    assert other.take(["b"]) == [False]


def test_nobody_waits_for_a_holder_that_closed(two):
    mine, other = two
    mine.take(["a"])
    mine.close()
    assert other.take(["a"]) == [True]


def take_and_die(path):
    Claims(Store(path)).take(["a", "b"])
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_claims_of_a_holder_killed_by_kill_9_are_free_at_once(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=take_and_die, args=(tmp_path,))
    process.start()
    process.join()
    other = Claims(Store(tmp_path))
    assert other.take(["a"]) == [True]
    assert other.take(["b"]) == [True]
    assert other.take(["c"]) == [True]
    assert other.inherited == {"a", "b"}
    assert [path.name for path in (tmp_path / "claims").iterdir()] == [other.holder]


def test_a_claim_whose_holder_is_gone_waits_for_who_goes_on(tmp_path):
    mine, other = Claims(Store(tmp_path)), Claims(Store(tmp_path))
    mine.take(["a", "b"])
    mine.store.connection.execute("update claims set until = until - 86400 where key = 'a'")
    mine.store.connection.execute("update claims set until = 0 where key = 'b'")
    mine.close()
    other.renew()
    assert other.take(["a", "b"]) == [True, True] and other.inherited == {"a"}


def test_a_claim_is_kept_for_its_lease_and_forgotten_long_after_its_end(two):
    mine, _ = two
    before = time.time()
    mine.take(["a"])

    def until(key):
        row = mine.store.connection.execute("select until from claims where key = ?", (key,)).fetchone()
        return row and row[0]

    assert before + LEASE_S <= until("a") <= time.time() + LEASE_S
    for key, age in (("old", FORGOTTEN_S + 60), ("ended", FORGOTTEN_S - 60)):
        mine.store.connection.execute("insert into claims values (?, 'gone', ?)", (key, time.time() - age))
    mine.renew()
    assert until("old") is None and until("ended")
    assert (LEASE_S, FORGOTTEN_S) == (60, 30 * 24 * 3600)


def test_the_key_of_another_that_ended_is_inherited_and_ones_own_is_not(two):
    mine, other = two
    other.take(["b"])
    mine.take(["a"])
    assert mine.take(["a"]) == [True] and mine.inherited == set()
    other.store.connection.execute("update claims set until = 0 where key = 'b'")
    assert mine.take(["b", "c"]) == [True, True] and mine.inherited == {"b"}


def test_a_lock_that_nobody_holds_is_removed(two):
    mine, other = two
    assert (mine.folder / mine.holder).is_file() and not other._is_gone(mine.holder)
    (mine.folder / "dead").write_text("")
    assert other._is_gone("dead") and not (mine.folder / "dead").exists() and other._is_gone("never there")
    mine.close()
    assert not (mine.folder / mine.holder).exists()
