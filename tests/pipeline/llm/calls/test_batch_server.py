"""A batch is made once and found again, whatever happens on the way and to the run."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.llm.calls.endpoint import EndpointStopped
from tests.support.llm_batches import Batches as ServerBatches
from tests.support.llm_echo import conversations, echo, expected, parse
from tests.support.llm_in_batches import DOLLAR_A_TOKEN, batches_of, change, values
from tests.support.llm_server import serving

pytestmark = pytest.mark.slow  # together they take a good share of a minute


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
        teacher.engine.way.stream.loop.call_soon_threadsafe(teacher.engine.ledger.interrupt)

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


def test_the_input_file_of_a_run_that_ended_before_its_batch_was_made_is_deleted(teacher):
    class Refusing(ServerBatches):
        refuses = True

        async def handle(self, request):
            from aiohttp import web

            if self.refuses and request.method == "POST" and request.path.endswith("/batches"):
                return web.json_response({"error": {"message": "no"}}, status=401)
            return await super().handle(request)

    with serving(echo) as server:
        server.batches = Refusing(server, 2, 0.0)
        with pytest.raises(EndpointStopped):
            values(teacher(server), 3)
        (left,) = server.batches.files
        server.batches.put(b"of another", "other.jsonl", "batch")
        server.batches.refuses = False
        assert values(teacher(server), 3) == expected(3)
        names = [about["filename"] for about in server.batches.about.values() if about["purpose"] == "batch"]
    assert left not in server.batches.files and len(names) == 2 and "other.jsonl" in names


def test_an_endpoint_without_a_batch_api_stops_the_run(teacher):
    class Nothing(ServerBatches):
        async def handle(self, request):
            from aiohttp import web

            return web.json_response({"detail": "Not Found"}, status=404)

    with serving(echo) as server:
        server.batches = Nothing(server, 2, 0.0)
        with pytest.raises(EndpointStopped, match="the Batch API of .* 404"):
            values(teacher(server), 3)


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
from pipeline.llm.calls.batch import Sizes
from pipeline.llm.calls.engine import Engine
from pipeline.runtime.params_file import load_params
from tests.support.params import with_values
root, base_url, out = sys.argv[1:]
teacher = load_params(Path(root) / "params.yaml").teacher
params = with_values(teacher, backend="openai", model="m", base_url=base_url, mode="batch", attempts=3)
engine = Engine("teacher", params, sizes=Sizes(requests=40, first_look_s=0.05, longest_look_s=0.05))
asked = [[{"role": "user", "content": f"query {number}"}] for number in range(200)]
print("begun", file=sys.stderr, flush=True)
values = [outcome.value for outcome in OpenAI(params, engine=engine).map(asked, str)]
Path(out).write_text("\\n".join(values))
"""


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
