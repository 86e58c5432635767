"""What becomes one batch, and under what name."""

import pytest

from pipeline.llm.calls.batch_lines import count_line_bytes, format_line
from pipeline.llm.calls.batch_records import AT_ONCE, Records, Request, plan_batches
from pipeline.runtime.store import Store
from tests.support.llm_echo import echo, expected
from tests.support.llm_in_batches import DOLLAR_A_TOKEN, batches_of, change, values
from tests.support.llm_server import serving

pytestmark = pytest.mark.slow  # together they take a good share of a minute


def test_batches_are_split_by_their_limits(teacher):
    with serving(echo) as server:
        assert values(teacher(server, {"requests": 40}), 100) == expected(100)
        assert sorted(len(batch) for batch in batches_of(server)) == [20, 40, 40]
    with serving(echo) as server:
        assert values(teacher(server, {"bytes": 5000, "at_once": 1}), 100) == expected(100)
        files = [server.batches.files[batch["input_file_id"]] for batch in server.batches.batches.values()]
        assert len(files) > 3 and all(2500 < len(file) <= 5000 for file in files[:-1])


def test_a_part_has_one_model_and_a_request_that_is_too_large_goes_alone():
    requests = {f"k{number}": Request('{"é": 1}' * size, model, 0, 0.0)
             for number, (model, size) in enumerate([("a", 1), ("b", 1), ("a", 1), ("a", 99), ("a", 1)])}  # fmt: skip
    assert list(plan_batches(requests, 9, 300)) == [["k0", "k2"], ["k3"], ["k4"], ["k1"]]
    for key, request in requests.items():
        assert len(format_line(key, "/v1/chat/completions", request.body)) <= count_line_bytes(key, request.body)


def test_what_failed_is_asked_again_by_the_next_run_under_a_new_name(teacher):
    with serving(echo, expire_share=1.0) as server:
        assert values(teacher(server, attempts=2), 4) == [None] * 4
        server.batches.expire_share = 0.0
        assert values(teacher(server, attempts=2), 4) == expected(4)
        names = [batch["metadata"]["vpo"] for batch in server.batches.batches.values()]
    assert [name.split("-")[1] for name in names] == ["0", "1", "2"]
    assert len({name.split("-")[0] for name in names}) == 1


def test_a_run_killed_after_the_last_answer_was_stored_leaves_no_open_batch(teacher, tmp_path):
    with serving(echo) as server:
        asked = teacher(server, **DOLLAR_A_TOKEN)
        values(asked, 3)
        change(tmp_path, "update batches set status = null")
        change(tmp_path, "insert into batch_requests select key, (select name from batches), 0, '{}' from answers")
        assert asked.engine.ledger.store.counts()["teacher"] == 3
        again = teacher(server, **DOLLAR_A_TOKEN)
        assert values(again, 3) == expected(3)
        assert again.engine.ledger.store.connection.execute("select count(*) from batch_requests").fetchone() == (0,)


def test_requests_are_read_in_the_order_that_is_asked_for_and_without_those_of_no_batch(tmp_path):
    records = Records(Store(tmp_path / "store"), "p h m")
    requests = {f"k{number}": Request(f'{{"n": {number}}}', "m", number, 0.5) for number in range(4)}
    ((name, keys),) = records.claim(requests, 10, 10_000).items()
    assert keys == records.read_keys(name) == ["k0", "k1", "k2", "k3"]
    assert list(records.read_requests(["k3", "none", "k1"])) == [("k3", '{"n": 3}', 3), ("k1", '{"n": 1}', 1)]
    assert records.read_keys("none") == [] and list(records.read_requests([])) == []
    many = [f"x{number}" for number in range(AT_ONCE)] + ["k2"]
    assert list(records.read_requests(many)) == [("k2", '{"n": 2}', 2)]
    assert list(records.claim(requests, 10, 10_000).items()) == [(name, keys)]
