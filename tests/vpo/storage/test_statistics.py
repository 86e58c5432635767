import json

import pytest

from pipeline.runtime.store import Purchase, Store
from tests.support.stored_answers import HOST, bought, old, purchase, run
from vpo.storage.statistics import Group, _row, accounts, files, split_account, statistics


def test_stats_count_answers_tokens_money_time_and_outcomes(empty_project):
    filtered = {"error": {"message": "no", "code": "content_filter"}}
    bought(empty_project, *(purchase(number) for number in range(1, 21)))
    bought(
        empty_project, purchase(31, "", refusal="I will not"), purchase(32, "", finish="length"), purchase(33, " "),
        purchase(34, status=400, **filtered),
    )  # fmt: skip
    found = json.loads(run("stats", "--json"))
    (row,) = found["answers"]
    assert (row["kind"], row["host"], row["model"], row["answers"]) == ("teacher", HOST, "m", 24)
    assert row["outcomes"] == {"content_filter": 1, "empty": 1, "ok": 20, "refused": 1, "truncated": 1}
    assert (row["input_tokens"], row["output_tokens"]) == (2300, 230)
    assert row["usd"] == pytest.approx(0.24) and row["usd_per_1000"] == pytest.approx(10)
    assert (row["median_s"], row["p95_s"]) == (1.3, 3.3)
    old(Store(), purchase(7).key)
    (row,) = json.loads(run("stats", "--json"))["answers"]
    assert row["oldest"] == "2020-01-01 00:00:00" < row["newest"]
    (account,) = found["accounts"]
    assert (account["project"], account["host"], account["model"]) == (str(empty_project), HOST, "m")
    assert "refused 1" in run("stats")


def test_an_account_is_split_at_its_host_since_a_folder_may_hold_spaces():
    name = f"/projects/my films {HOST} a model"
    assert split_account(name, {HOST, None}) == ("/projects/my films", HOST, "a model")
    assert split_account("/projects/my films elsewhere m", {HOST}) == ("/projects/my films", "elsewhere", "m")


def test_files_are_counted_by_suffix(vpo_home):
    store = Store()
    for name, content in (("a.mp4", b"12"), ("b.mp4", b"345"), ("c.json", b"{}")):
        path = store.root / "files" / name[0] / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    assert files(store) == [
        {"suffix": ".json", "files": 1, "bytes": 2},
        {"suffix": ".mp4", "files": 2, "bytes": 5},
    ]


def test_what_no_account_paid_for_has_no_price(vpo_home):
    store = Store()
    store.put("k", "policy", {}, {"text": "x"})
    (row,) = statistics(store)
    assert (row["kind"], row["answers"], row["usd"], row["usd_per_1000"], row["median_s"]) == (
        "policy", 1, None, None, None,
    )  # fmt: skip


def test_of_answers_that_were_made_here_only_number_bytes_and_time_are_known():
    group = Group()
    for n_bytes, when in ((5, "2026-02-02"), (7, "2026-01-01"), (1, "2026-03-03")):
        group.add('{"text": "x"}', n_bytes, when)
    assert (group.answers, group.n_bytes, group.oldest, group.newest) == (3, 13, "2026-01-01", "2026-03-03")
    assert (group.input_tokens, group.output_tokens, len(group.latencies), group.outcomes) == (0, 0, 0, {})


def test_the_median_and_the_95th_of_a_hundred_seconds():
    group = Group(answers=100)
    group.latencies.extend(float(number) for number in range(100, 0, -1))
    row = _row("teacher", "h", "m", group, [])
    assert (row["median_s"], row["p95_s"]) == (51.0, 96.0)


@pytest.mark.parametrize(
    ("kind", "usd"), [("teacher", 3.0), ("policy", 3.0), ("clip", None), ("score", None), ("price", None)]
)
def test_money_is_that_of_all_projects_for_the_same_host_and_model(kind, usd):
    charged = [{"host": "h", "model": "m", "usd": 1.0}, {"host": "h", "model": "m", "usd": 2.0},
               {"host": "h", "model": "n", "usd": 5.0}, {"host": "i", "model": "m", "usd": 7.0}]  # fmt: skip
    row = _row(kind, "h", "m", Group(answers=4), charged)
    assert (row["usd"], row["usd_per_1000"]) == (usd, usd and 750.0)


@pytest.mark.parametrize(
    ("account", "parts"),
    [("p h m", ("p", "h", "m")), ("m", ("", "m", "")), ("h m", ("", "h", "m")), ("a b h m", ("a b", "h", "m"))],
)
def test_an_account_without_a_known_host_is_split_before_its_last_two_words(account, parts):
    assert split_account(account, {"x"}) == parts


def test_groups_are_by_kind_host_and_model_and_accounts_name_what_was_spent(vpo_home):
    store = Store()
    for key, kind in (("a", "score"), ("b", "clip"), ("c", "clip")):
        store.put(key, kind, {}, {"text": "x"})
    store.buy_many(
        [Purchase("k", "teacher", {"host": "h", "body": {"model": "m"}}, {"text": "x"}, (3, 4), 0.5)], "p h m"
    )
    assert [(row["kind"], row["host"], row["model"], row["answers"]) for row in statistics(store)] == [
        ("clip", "", "", 2), ("score", "", "", 1), ("teacher", "h", "m", 1),
    ]  # fmt: skip
    assert accounts(store) == [
        {"project": "p", "host": "h", "model": "m", "requests": 1, "input_tokens": 3, "output_tokens": 4, "usd": 0.5}
    ]
