import json

import pytest

from pipeline.runtime.store import Store
from tests.support.stored_answers import HOST, bought, old, purchase, run
from vpo.storage.statistics import files, split_account, statistics


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
