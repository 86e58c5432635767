import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from llm_batches import Batches as ServerBatches
from llm_echo import conversations, echo, expected, parse
from llm_server import serving

from pipeline.backends.teacher.openai import OpenAI
from pipeline.calls.batch import Batches, Sizes
from pipeline.calls.batch_lines import line, line_bytes
from pipeline.calls.batch_records import Request, parts
from pipeline.calls.endpoint import EndpointStopped
from pipeline.calls.engine import Engine
from pipeline.next_round import MOST_WAITING, next_round
from pipeline.store import Store

pytestmark = pytest.mark.slow  # together they take a good share of a minute

FAULTS = ("500", "cut", "empty", "length", "refusal", "content_filter", "no_choices", "two_choices")
DOLLAR_A_TOKEN = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 1e6}


@pytest.fixture
def teacher(laptop, tmp_path, monkeypatch, vpo_home):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")

    def make(server, sizes=None, store="store", **changes):
        settings = dict(backend="openai", model="m", base_url=server.base_url, attempts=3, timeout_s=60.0, mode="batch")
        params = laptop.teacher.model_copy(update=settings | changes)
        engine = Engine("teacher", params, Store(tmp_path / store))
        if params.mode == "batch":
            engine.use(Batches(engine, Sizes(**{"first_look_s": 0.01, "longest_look_s": 0.02} | (sizes or {}))))
        return OpenAI(params, engine=engine)

    return make


def values(teacher, n):
    return [outcome.value for outcome in teacher.map(conversations(n), parse)]


def batches_of(server):
    """Return for each batch made what its lines ask."""
    files = (server.batches.files[batch["input_file_id"]] for batch in server.batches.batches.values())
    return [[json.loads(line)["body"]["messages"][-1]["content"] for line in file.splitlines()] for file in files]


def change(path, statement, *values):
    import sqlite3

    connection = sqlite3.connect(path / "store" / "answers.sqlite")
    with connection:
        connection.execute(statement, values)
    connection.close()


class Spoilt(ServerBatches):
    """Files pass through `spoil(purpose, lines)`."""

    spoil = staticmethod(lambda purpose, lines: lines)

    def put(self, content, filename, purpose):
        content = b"".join(self.spoil(purpose, content.splitlines(keepends=True)))
        return super().put(content, filename, purpose)


def spoil_output(server, spoil):
    server.batches = Spoilt(server, 2, 0.0)
    server.batches.spoil = lambda purpose, lines: spoil(lines) if purpose == "batch_output" else lines


def test_outcomes_are_those_of_direct_mode(teacher):
    def outcomes(mode):
        with serving(echo, fault_share=0.4, faults=FAULTS) as server:
            # a fault that lasts fails with other words: "(3 batches)"
            asked = teacher(server, mode=mode, store=mode, max_concurrency=32)
            return [
                (outcome.value, outcome.reason, outcome.detail.split(" (")[0])
                for outcome in asked.map(conversations(100), parse)
            ]

    assert outcomes("batch") == outcomes("direct")


def test_neither_mode_buys_what_the_other_bought(teacher):
    with serving(echo) as server:
        by_batch = list(teacher(server).map(conversations(10), parse))
        direct = list(teacher(server, mode="direct").map(conversations(20), parse))
        assert (len(server.requests), len(batches_of(server))) == (10, 1)
        assert list(teacher(server).map(conversations(20), parse)) == direct
        assert (len(server.requests), len(batches_of(server))) == (10, 1)
    assert direct[:10] == by_batch


def test_a_batch_is_charged_at_half_the_price(teacher):
    with serving(echo, fault_share=0.3, faults=("500", "no_choices")) as server:
        asked = teacher(server, **DOLLAR_A_TOKEN)
        assert values(asked, 20) == expected(20)
        tokens = sum(entry[3] + entry[4] for entry in server.log)
        assert asked.engine.store.spent(asked.engine.account) == asked.engine.counts.usd == tokens / 2
        assert asked.engine.counts.requests == len(server.log)


def test_all_conversations_are_one_batch_and_equal_ones_one_line(teacher):
    with serving(echo) as server:
        outcomes = list(teacher(server).map(conversations(300) * 2, parse))
        assert [len(batch) for batch in batches_of(server)] == [300]
    assert [outcome.value for outcome in outcomes] == expected(300) * 2


def test_batches_are_split_by_their_limits(teacher):
    with serving(echo) as server:
        assert values(teacher(server, {"requests": 40}), 100) == expected(100)
        assert sorted(len(batch) for batch in batches_of(server)) == [20, 40, 40]
    with serving(echo) as server:
        assert values(teacher(server, {"bytes": 5000, "at_once": 1}), 100) == expected(100)
        files = [server.batches.files[batch["input_file_id"]] for batch in server.batches.batches.values()]
        assert len(files) > 3 and all(2500 < len(file) <= 5000 for file in files[:-1])


def test_a_part_has_one_model_and_a_request_that_is_too_large_goes_alone():
    asked = {f"k{number}": Request('{"é": 1}' * size, model, 0, 0.0)
             for number, (model, size) in enumerate([("a", 1), ("b", 1), ("a", 1), ("a", 99), ("a", 1)])}  # fmt: skip
    assert list(parts(asked, 9, 300)) == [["k0", "k2"], ["k3"], ["k4"], ["k1"]]
    for key, request in asked.items():
        assert len(line(key, "/v1/chat/completions", request.body)) <= line_bytes(key, request.body)


def test_more_conversations_than_are_held_at_once_come_in_order(teacher):
    with serving(echo) as server:
        assert values(teacher(server, {"conversations": 20}), 110) == expected(110)
        assert sum(len(batch) for batch in batches_of(server)) == 110


def test_a_map_may_feed_another(teacher):
    with serving(lambda model, messages: f"{messages[-1]['content']} QUERY") as server:
        asked = teacher(server)
        first = asked.map(conversations(30), parse)
        second = asked.map(([{"role": "user", "content": outcome.value}] for outcome in first), parse)
        assert [outcome.value for outcome in second] == [f"query {number} QUERY QUERY" for number in range(30)]
        assert [len(batch) for batch in batches_of(server)] == [30, 30]


def test_questions_that_follow_from_a_batch_wait_for_all_of_it(teacher):
    class Halting(ServerBatches):
        async def handle(self, request):
            from aiohttp import web

            whole = await super().handle(request)
            if not request.path.endswith("content"):
                return whole
            halting = web.StreamResponse()
            await halting.prepare(request)
            for half in (whole.body[: len(whole.body) // 2], whole.body[len(whole.body) // 2 :]):
                await halting.write(half)
                await asyncio.sleep(0.3)
            return halting

    with serving(lambda model, messages: "QUERY" if len(messages) > 1 else "nonsense") as server:
        server.batches = Halting(server, 2, 0.0)
        assert values(teacher(server), 1600) == ["QUERY"] * 1600
        assert [len(batch) for batch in batches_of(server)] == [1600, 1600]


@pytest.mark.slow
def test_a_chain_of_rounds_is_one_batch_a_round(teacher):
    with serving(echo) as server:
        asked = teacher(server)
        items = ((number, ()) for number in range(MOST_WAITING + 100))
        for sample in (0, 1):
            items = next_round(
                items,
                is_open=lambda item, sample=sample: sample == 0 or item[0] % 10 == 0,
                messages=lambda item: [{"role": "user", "content": f"query {item[0]}"}],
                take=lambda item, outcome: (item[0], (*item[1], outcome.value)),
                teacher=asked,
                parse=parse,
                sample=sample,
            )
        answers = [len(answers) for _, answers in items]
        assert [len(batch) for batch in batches_of(server)] == [len(answers), answers.count(2)]
    assert answers[:11] == [2, *[1] * 9, 2]


def test_what_cannot_be_parsed_is_asked_again_in_the_next_batch(teacher):
    def answer(model, messages):
        return "QUERY" if len(messages) > 1 or messages[0]["content"] != "query 3" else "nonsense"

    with serving(answer) as server:
        assert values(teacher(server), 10) == ["QUERY"] * 10
        first, second = batches_of(server)
        assert len(first) == 10
        assert len(second) == 1 and "no_query" in second[0]


def test_expired_lines_are_asked_again_and_fail_in_the_end_with_their_words(teacher):
    with serving(echo, expire_share=0.5) as server:
        outcomes = list(teacher(server, attempts=3).map(conversations(16), parse))
        assert [len(batch) for batch in batches_of(server)] == [16, 8, 4]
    assert [outcome.value for outcome in outcomes[:14]] == expected(14)
    assert outcomes[15].reason == "failed"
    assert outcomes[15].detail.startswith("batch_expired: This request could not be executed")
    assert outcomes[15].detail.endswith("(3 batches)")


def test_what_failed_is_asked_again_by_the_next_run_under_a_new_name(teacher):
    with serving(echo, expire_share=1.0) as server:
        assert values(teacher(server, attempts=2), 4) == [None] * 4
        server.batches.expire_share = 0.0
        assert values(teacher(server, attempts=2), 4) == expected(4)
        names = [batch["metadata"]["vpo"] for batch in server.batches.batches.values()]
    assert [name.split("-")[1] for name in names] == ["0", "1", "2"]
    assert len({name.split("-")[0] for name in names}) == 1


def test_a_line_with_a_400_fails_with_its_words_and_is_not_asked_again(teacher):
    def wrong(lines):
        rows = [json.loads(line) for line in lines]
        body = {"error": {"message": "too long", "code": "invalid_request"}}
        rows[0] |= {"response": {"status_code": 400, "request_id": "x", "body": body}}
        return [json.dumps(row).encode() + b"\n" for row in rows]

    with serving(echo) as server:
        spoil_output(server, wrong)
        outcomes = list(teacher(server).map(conversations(5), parse))
        assert len(batches_of(server)) == 1
    assert [outcome.detail for outcome in outcomes if outcome.value is None] == ["400: too long"]


def twice(lines):
    return [*lines, *lines]


def strangers(lines):
    return [*lines, lines[0].replace(b'"custom_id": "', b'"custom_id": "x'), b'{"custom_id": null}\n', b"[]\n", b"\n"]


def cut(lines):
    return [*lines[:-1], lines[-1][:-20]]


def broken_off(lines):
    return lines[: len(lines) // 2]


def no_text(lines):
    return [line.replace(b'"content": "QUERY 3"', b'"content": 7') for line in lines]


def odd_signs(lines):
    return [line.replace(b"QUERY", "QUERY\u2028\x0b é".encode().replace(b"\x0b", b"\\u000b")) for line in lines]


@pytest.mark.parametrize(
    ("spoil", "n_batches"),
    [(twice, 1), (strangers, 1), (cut, 2), (broken_off, 2), (no_text, 2), (odd_signs, 1)],
)
def test_a_file_that_lies_costs_at_most_another_batch(teacher, spoil, n_batches, capsys):
    done = []

    def once(lines):
        done.append(spoil)
        return spoil(lines) if len(done) == 1 else lines

    with serving(echo) as server:
        spoil_output(server, once)
        asked = teacher(server)
        found = values(asked, 10)
        assert len(batches_of(server)) == n_batches
    assert [value.replace("\u2028\x0b é", "") for value in found] == expected(10)
    told = {twice: "10 twice", strangers: "2 not asked for, 1 cut", cut: "1 cut"}
    if spoil in told:
        assert set(told[spoil].split(", ")) == set(passed_over(capsys).split(", "))


def passed_over(capsys):
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "passed over" in line]
    return said.split("passed over: ")[1]


def test_an_output_file_that_is_not_there_costs_another_batch(teacher):
    class Forgetful(ServerBatches):
        def put(self, content, filename, purpose):
            about = super().put(content, filename, purpose)
            return about | {"id": "file-gone"} if filename.startswith("batch_0") else about

    with serving(echo) as server:
        server.batches = Forgetful(server, 2, 0.0)
        assert values(teacher(server), 5) == expected(5)
        assert len(batches_of(server)) == 2


def test_a_batch_that_is_refused_stops_the_run_with_the_servers_words(teacher):
    with serving(echo) as server:
        server.batches = Spoilt(server, 2, 0.0)
        server.batches.spoil = lambda purpose, lines: [*lines, b"{\n"]
        with pytest.raises(
            EndpointStopped, match="refused batch_0 with 4 requests: line 5: This line is not parseable"
        ):
            values(teacher(server), 4)
        server.batches.spoil = lambda purpose, lines: lines
        assert values(teacher(server), 4) == expected(4)


def test_a_batch_without_room_waits_for_another_to_end(teacher):
    class Narrow(ServerBatches):
        def poll(self, name):
            open_ones = [batch for batch in self.batches.values() if batch["status"] not in ("completed", "failed")]
            batch = self.batches[name]
            if batch in open_ones[1:]:
                data = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}]
                batch |= {"status": "failed", "errors": {"object": "list", "data": data}}
            return super().poll(name)

    with serving(echo) as server:
        server.batches = Narrow(server, 20, 0.0)
        assert values(teacher(server, {"requests": 5}, attempts=1), 15) == expected(15)
        statuses = Counter(batch["status"] for batch in server.batches.batches.values())
    assert statuses == {"completed": 3, "failed": 3}


def test_a_cancelled_batch_stops_the_run_and_the_next_asks_for_the_rest(teacher):
    class Cancelled(ServerBatches):
        def create(self, asked):
            return super().create(asked) | {"status": self.cancel(f"batch_{len(self.batches) - 1}")["status"]}

    with serving(echo) as server:
        server.batches = Cancelled(server, 3, 0.0)
        with pytest.raises(EndpointStopped, match="batch_0 was cancelled"):
            values(teacher(server), 8)
        Cancelled.create = ServerBatches.create
        assert values(teacher(server), 8) == expected(8)
        assert [len(batch) for batch in batches_of(server)] == [8, 4]


def test_a_batch_that_would_exceed_the_budget_is_not_made(teacher):
    with serving(echo) as server:
        asked = teacher(server, budget_usd=100.0, **DOLLAR_A_TOKEN)
        with pytest.raises(EndpointStopped, match=r"10 requests .* cost 12\d\d\.\d+ US dollars, but of 100 are spent"):
            values(asked, 10)
        assert not server.batches.batches and not server.batches.files
        assert values(teacher(server, budget_usd=2000.0, **DOLLAR_A_TOKEN), 10) == expected(10)


def test_what_running_batches_will_cost_is_not_spent_again(teacher):
    with serving(echo) as server:
        asked = teacher(server, {"requests": 5}, budget_usd=800.0, **DOLLAR_A_TOKEN)  # 5 cost about 630
        with pytest.raises(EndpointStopped, match=r"in running batches 6\d\d\."):
            values(asked, 10)
        assert len(batches_of(server)) == 1
        assert values(teacher(server, {"requests": 5}, budget_usd=2e3, **DOLLAR_A_TOKEN), 10) == expected(10)
        assert [len(batch) for batch in batches_of(server)] == [5, 5]


class Failing(ServerBatches):
    """The first answer to each kind of request is lost on its way back."""

    def __init__(self, *told):
        super().__init__(*told)
        self.lost = set()

    async def handle(self, request):
        from aiohttp import web

        answer = await super().handle(request)
        kind = request.method, re.sub(r"(file-|batch_)\d+", "x", request.path)
        if kind in self.lost:
            return answer
        self.lost.add(kind)
        return web.json_response({"error": {"message": "try again"}}, status=503)


def test_an_answer_lost_on_its_way_makes_no_second_batch(teacher):
    with serving(echo) as server:
        server.batches = Failing(server, 2, 0.0)
        assert values(teacher(server), 6) == expected(6)
        assert len(batches_of(server)) == 1
        assert {("POST", "/v1/files"), ("POST", "/v1/batches")} <= server.batches.lost
        assert {("GET", "/v1/batches"), ("GET", "/v1/batches/x"), ("GET", "/v1/files/x/content")} <= server.batches.lost


def test_a_download_that_breaks_off_is_begun_again_and_nothing_is_charged_twice(teacher):
    class Breaking(ServerBatches):
        broken = 0

        async def handle(self, request):
            from aiohttp import web

            whole = await super().handle(request)
            if not request.path.endswith("content") or self.broken == 2:
                return whole
            self.broken += 1
            half = web.StreamResponse(headers={"Content-Length": str(len(whole.body))})
            await half.prepare(request)
            await half.write(whole.body[: len(whole.body) * 2 // 3])
            await asyncio.sleep(0.05)
            request.transport.abort()
            return half

    with serving(echo) as server:
        server.batches = Breaking(server, 2, 0.0)
        asked = teacher(server, **DOLLAR_A_TOKEN)
        assert values(asked, 1200) == expected(1200)
        assert server.batches.broken == 2 and len(batches_of(server)) == 1
        tokens = sum(entry[3] + entry[4] for entry in server.log)
        assert asked.engine.store.spent(asked.engine.account) == tokens / 2


def test_a_batch_made_by_a_run_that_could_not_write_it_down_is_found_by_its_name(teacher, tmp_path):
    with serving(echo, polls=10**9) as server:
        interrupted(teacher(server), server)
        change(tmp_path, "update batches set id = null")
        server.batches.polls = 2
        found = teacher(server, budget_usd=0.0, **DOLLAR_A_TOKEN)  # it costs nothing more
        assert values(found, 6) == expected(6)
        assert len(batches_of(server)) == 1 and len(server.batches.files) == 2


def test_another_store_finds_the_batch_that_a_lost_one_had_made(teacher):
    with serving(echo) as server:
        values(teacher(server), 6)
        assert values(teacher(server, store="another"), 6) == expected(6)
        assert len(batches_of(server)) == 1


def test_a_run_killed_after_the_last_answer_was_stored_leaves_no_open_batch(teacher, tmp_path):
    with serving(echo) as server:
        asked = teacher(server, **DOLLAR_A_TOKEN)
        values(asked, 3)
        change(tmp_path, "update batches set status = null")
        change(tmp_path, "insert into batch_requests select key, (select name from batches), 0, '{}' from answers")
        assert asked.engine.store.counts()["teacher"] == 3
        again = teacher(server, **DOLLAR_A_TOKEN)
        assert values(again, 3) == expected(3)
        assert again.engine.store.connection.execute("select count(*) from batch_requests").fetchone() == (0,)


def test_a_run_killed_while_it_stored_charges_nothing_twice(teacher, tmp_path):
    with serving(echo) as server:
        asked = teacher(server, **DOLLAR_A_TOKEN)
        values(asked, 6)
        spent = asked.engine.store.spent(asked.engine.account)
        change(tmp_path, "update batches set status = null")
        change(
            tmp_path,
            "insert into batch_requests select key, (select name from batches), 0, json_extract(request, '$.body') "
            "from answers",
        )
        change(tmp_path, "delete from answers where rowid in (select rowid from answers limit 2)")
        again = teacher(server, **DOLLAR_A_TOKEN)
        assert values(again, 6) == expected(6)
        assert len(batches_of(server)) == 1
        each = spent / 6
        assert again.engine.store.spent(again.engine.account) == pytest.approx(spent + 2 * each)


def test_a_batch_that_the_server_forgot_stops_the_run_until_its_window_is_surely_over(teacher, tmp_path):
    with serving(echo, polls=10**9) as server:
        interrupted(teacher(server), server)
        server.batches = ServerBatches(server, 2, 0.0)
        with pytest.raises(EndpointStopped, match="does not know batch_0"):
            values(teacher(server), 6)
        change(tmp_path, "update batches set at = datetime('now', '-3 days')")
        assert values(teacher(server), 6) == expected(6)


def interrupted(teacher, server, n=6):
    """Stop a run whose batch is under way, as Ctrl-C does."""
    results = teacher.map(stopping(teacher, server, n), parse)
    with pytest.raises(EndpointStopped):
        list(results)


def stopping(teacher, server, n):
    import threading

    def stop():
        while not server.batches.batches:
            time.sleep(0.005)
        teacher.engine.stream.loop.call_soon_threadsafe(teacher.engine._stop)

    threading.Thread(target=stop).start()
    yield from conversations(n)


def test_what_a_stopped_run_leaves_running_is_said_and_taken_over(teacher, capsys):
    with serving(echo, polls=10**9) as server:
        interrupted(teacher(server), server)
        assert "1 of our batches left running" in capsys.readouterr().err
        server.batches.polls = 2
        assert values(teacher(server), 9) == expected(9)
        assert [len(batch) for batch in batches_of(server)] == [6, 3]


def test_two_runs_at_once_share_their_batches(teacher):
    class Slow(ServerBatches):
        async def handle(self, request):
            if request.method == "POST":
                await asyncio.sleep(0.05)
            return await super().handle(request)

    with serving(echo) as server, ThreadPoolExecutor(3) as pool:
        server.batches = Slow(server, 20, 0.0)
        runs = [teacher(server, {"requests": 7}) for _ in range(3)]
        found = pool.map(lambda asked: values(asked, 20), runs)
        assert list(found) == [expected(20)] * 3
        assert sorted(len(batch) for batch in batches_of(server)) == [6, 7, 7]
        assert len(server.log) == 20


def test_an_endpoint_without_a_batch_api_stops_the_run(teacher):
    class Nothing(ServerBatches):
        async def handle(self, request):
            from aiohttp import web

            return web.json_response({"detail": "Not Found"}, status=404)

    with serving(echo) as server:
        server.batches = Nothing(server, 2, 0.0)
        with pytest.raises(EndpointStopped, match="the Batch API of .* 404"):
            values(teacher(server), 3)


def test_half_a_character_fails_alone(teacher):
    with serving(echo) as server:
        asked = [*conversations(2), [{"role": "user", "content": "\ud83d"}]]
        outcomes = list(teacher(server).map(asked, parse))
    assert [outcome.value for outcome in outcomes] == [*expected(2), None]
    assert "no UTF-8" in outcomes[2].detail


def test_azure_has_its_own_paths(teacher):
    with serving(echo) as server:
        azure = teacher(server, base_url=server.base_url.removesuffix("/v1"), api_version="2024-10-21")
        assert values(azure, 3) == expected(3)
        (batch,) = server.batches.batches.values()
    assert batch["endpoint"] == "/chat/completions"


def test_where_a_batch_stands_is_shown(teacher, capsys):
    with serving(echo, polls=4) as server:
        values(teacher(server), 3)
    said = [line.split(": ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    states = ["validating", "in_progress 0 of 3", "finalizing 0 of 3", "completed 3 of 3"]
    assert said == [f"batch_0 {state}" for state in states]


RUN = """
import sys
from pathlib import Path
from pipeline.backends.teacher.openai import OpenAI
from pipeline.calls.batch import Batches, Sizes
from pipeline.calls.engine import Engine
from pipeline.params import load_params
root, base_url, out = sys.argv[1:]
teacher = load_params(Path(root) / "params.yaml").teacher
params = teacher.model_copy(update=dict(backend="openai", model="m", base_url=base_url, mode="batch", attempts=3))
engine = Engine("teacher", params)
engine.use(Batches(engine, Sizes(requests=40, first_look_s=0.05, longest_look_s=0.05)))
asked = [[{"role": "user", "content": f"query {number}"}] for number in range(200)]
print("begun", file=sys.stderr, flush=True)
values = [outcome.value for outcome in OpenAI(params, engine=engine).map(asked, str)]
Path(out).write_text("\\n".join(values))
"""


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_each_conversation_is_in_one_batch_however_often_the_run_is_killed(root, tmp_path, blow):
    environment = os.environ | {"VPO_HOME": str(tmp_path / "home"), "OPENAI_API_KEY": "k", "PYTHONPATH": str(root)}
    out = tmp_path / "out.txt"

    class LastWaits(ServerBatches):
        """The fifth batch ends after the kills alone: a busy machine might come too late for the last."""

        waits = True

        def poll(self, name):
            return self.batches[name] if name == "batch_4" and self.waits else super().poll(name)

    with serving(echo) as server:
        server.batches = LastWaits(server, 20, 0.0)
        command = [sys.executable, "-c", RUN, str(root), server.base_url, str(out)]
        for step in range(6):  # five batches in all, and twenty looks at each
            with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as run:
                assert run.stderr.readline() == "begun\n"
                while len(server.batches.batches) < step:
                    assert run.poll() is None
                    time.sleep(0.005)
                run.send_signal(blow)
                said = run.stderr.read()
            assert run.returncode != 0 and not out.exists()
            if blow == signal.SIGINT and "m: batch_" in said and "completed" not in said:
                assert "batches left running" in said
        server.batches.waits = False
        subprocess.run(command, env=environment, cwd=tmp_path, check=True)
        log = server.log
    assert out.read_text().split("\n") == expected(200)
    assert {*Counter(entry[1] for entry in log).values()} == {1} and len(log) == 200
