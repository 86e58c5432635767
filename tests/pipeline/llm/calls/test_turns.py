import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

from pipeline.llm.calls.engine import Engine
from pipeline.llm.calls.turns import Turns
from pipeline.runtime.store import Store
from schemas.params_teacher import OpenAITeacherParams
from tests.support.in_thread import in_thread
from tests.support.llm_echo import echo
from tests.support.llm_server import LLMServer, serving
from tests.support.paid_calls import ask, bodies


def ask_in_a_process(values, store, n, out):
    params = OpenAITeacherParams.model_validate_json(values)
    answers = ask(Engine("teacher", params, Store(store)), bodies(n))
    out.write_text(json.dumps([[answer.key, answer.stored] for answer in answers], sort_keys=True))


def start(engine, server, n, out, tmp_path, **values):
    """Start a process that asks `n` questions and writes what it got to `out`."""
    params = engine(server, **values).params.model_dump_json()
    arguments = (params, tmp_path / "store", n, out)
    process = multiprocessing.get_context("spawn").Process(target=ask_in_a_process, args=arguments)
    process.start()
    return process


@pytest.mark.slow
def test_two_processes_with_the_same_questions_buy_each_once(engine, tmp_path):
    outs = [tmp_path / "one.json", tmp_path / "two.json"]
    with serving(echo, delay_s=0.02) as server:
        processes = [start(engine, server, 200, out, tmp_path, max_concurrency=8) for out in outs]
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]
        assert len(server.requests) == 200
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert len(json.loads(outs[0].read_text())) == 200


class Hanging(LLMServer):
    """Answers nobody before `go` is set."""

    go = threading.Event()

    async def respond(self, *request):
        import asyncio

        while not self.go.is_set():
            await asyncio.sleep(0.005)
        return await super().respond(*request)


@pytest.mark.slow
def test_the_questions_of_a_process_killed_by_kill_9_are_asked_by_the_other(engine, tmp_path):
    out = tmp_path / "two.json"
    with in_thread(Hanging(echo)) as server:
        first = start(engine, server, 8, tmp_path / "one.json", tmp_path, max_concurrency=8)
        while len(server.requests) < 8:
            time.sleep(0.01)
        other = start(engine, server, 8, out, tmp_path, max_concurrency=8)
        time.sleep(1.0)
        assert len(server.requests) == 8  # it waits
        os.kill(first.pid, signal.SIGKILL)
        first.join()
        while len(server.requests) < 16:
            time.sleep(0.01)
        server.go.set()
        other.join()
    assert other.exitcode == 0
    assert all(stored for _, stored in json.loads(out.read_text()))
    # the server had begun to answer the killed one too
    with Store(tmp_path / "store") as store:
        assert store.connection.execute("select sum(requests) from spent").fetchone() == (16,)


def test_a_question_that_failed_is_free_for_the_next(engine, tmp_path):
    with serving(echo) as server:
        (answer,) = ask(engine(server), [{"model": "m", "messages": []}])
        assert answer.stored is None
    assert Store(tmp_path / "store").connection.execute("select * from claims").fetchall() == []


def test_a_lease_is_renewed_while_it_is_needed(tmp_path):
    import asyncio

    async def hold():
        mine, other = (Turns(Store(tmp_path), asyncio.sleep, lease_s=0.2) for _ in range(2))
        assert await mine.wait("key") is None
        renewing = asyncio.create_task(mine.renew())
        waiting = asyncio.create_task(other.wait("key"))
        done, _ = await asyncio.wait([waiting], timeout=0.8)
        assert not done
        renewing.cancel()
        done, _ = await asyncio.wait([waiting], timeout=5)
        assert done

    asyncio.run(hold())


def test_a_turn_that_was_inherited_is_told_once(tmp_path):
    import asyncio

    turns = Turns(Store(tmp_path), asyncio.sleep)
    turns.claims.inherited.add("key")
    assert [turns.is_inherited("key"), turns.is_inherited("key"), turns.is_inherited("other")] == [True, False, False]
    turns.close()
