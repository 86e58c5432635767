import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.backends.renderer import make_renderer
from pipeline.backends.renderer.http import BACK_OFF_S, PATIENCE_S, Http, wait_s
from pipeline.backends.renderer.http_host import Reply, read_bounded
from pipeline.runtime.accounts import account
from pipeline.runtime.io import DataError
from pipeline.runtime.store import Store
from pipeline.video.clips import decode, frames_hash
from schemas.reasons import Reason
from schemas.seams import RenderRequest
from tests.support.clip_requests import PROMPTS, made, one, params
from tests.support.clip_server import KEY, clip_of, serving_clips

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def keys(monkeypatch, vpo_home):
    monkeypatch.setenv("HOST_KEY", KEY)


def test_clips_come_in_order_with_who_made_them(laptop):
    with serving_clips(faults={PROMPTS[0]: ["look_500", "look_lost"]}) as server:
        outcomes = made(laptop, server)
    assert [outcome.value.content for outcome in outcomes] == [clip_of(prompt) for prompt in PROMPTS]
    by = outcomes[0].by
    assert (by.backend, by.model, by.revision) == ("http", "m", "unknown")
    assert server.most_running <= 3


def test_the_host_is_part_of_a_clips_identity_and_no_password_is(laptop):
    one, two = (make_renderer(params(laptop, url), laptop.world) for url in ("https://a.b/v1", "https://c.d/v1"))
    assert one.settings["host"] == "a.b" and one.settings != two.settings
    assert KEY not in json.dumps([one.settings, one.by.model_dump()])


def test_no_key_is_needed_where_no_clip_is_asked_for(laptop, monkeypatch):
    renderer = Http(params(laptop, "http://127.0.0.1:1"))
    monkeypatch.delenv("HOST_KEY")
    with pytest.raises(DataError, match="no key for 127.0.0.1:1: set the environment variable HOST_KEY"):
        list(renderer.map([RenderRequest("p", 0)]))


@pytest.mark.parametrize(
    "fault",
    ["429", "500", "html", "huge", "deep", "bomb", "lost", "look_500", "look_lost", "file_500", "file_short"],
)
def test_what_passes_is_tried_again_and_one_job_is_made(laptop, fault):
    outcome, server = one(laptop, fault)
    assert outcome.value.content == clip_of("a dog")
    assert server.prompts() == ["a dog"]


@pytest.mark.parametrize("adapter", ["zhipu", "openai"])
def test_a_submission_that_may_have_been_heard_is_not_sent_again_and_counts_as_paid(laptop, adapter):
    outcome, server = one(laptop, "lost", adapter=adapter, n_frames=None, usd_per_clip=0.5)
    assert outcome.reason == Reason.RENDER_FAILED and "counts as paid" in outcome.detail
    assert server.prompts() == ["a dog"]
    assert Store().read_spent_usd(account(server.origin.removeprefix("http://"), "m")) == 0.5


@pytest.mark.parametrize(
    ("fault", "reason", "says"),
    [
        ("bad_request", Reason.REFUSED, "400: size is not supported"),
        ("policy", Reason.CONTENT_FILTER, "400: not that"),
        ("fails", Reason.RENDER_FAILED, "job job-0 failed: CUDA error \\[key\\]"),
        ("refuses", Reason.CONTENT_FILTER, "job job-0: not that"),
        ("file_html", Reason.BAD_CLIP, "job job-0: text, not a video: <html>log in"),
        ("file_other", Reason.BAD_CLIP, "job job-0: 3 frames, asked for 4"),
        ("file_huge", Reason.BAD_CLIP, "a file of 1099511627776 bytes"),
        ("file_gone", Reason.RENDER_FAILED, "job job-0 is done, its clip cannot be had: 404"),
        ("file_long", Reason.BAD_CLIP, "job job-0: cut off"),
        ("file_circle", Reason.BAD_CLIP, "job job-0: more than 5 redirects"),
        ("file_local", Reason.BAD_CLIP, "neither http nor https"),
        ("local_file", Reason.BAD_CLIP, "neither http nor https"),
        ("url_number", Reason.BAD_CLIP, "the clip's address is no text"),
        ("url_none", Reason.BAD_CLIP, "job job-0: Invalid IPv6 URL"),
    ],
)
def test_a_clip_that_cannot_be_had_has_a_typed_reason(laptop, fault, reason, says):
    import re

    outcome, _ = one(laptop, fault)
    assert outcome.reason == reason and re.search(says, outcome.detail), outcome


def test_a_prompt_that_is_too_long_for_the_host_is_not_sent(laptop):
    with serving_clips() as server:
        (outcome,) = made(laptop, server, ["x" * 513], adapter="zhipu", n_frames=None)
    assert outcome.reason == Reason.OVER_TOKEN_LIMIT and not server.log


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("unauthorized", r"will not work for m: 401: bad key Bearer \[key\]"),
        ("poor", "will not work for m: 429: no money"),
        ("no_id", "without a job's id; is the adapter right"),
        ("id_half", "without a job's id; is the adapter right"),
        ("id_dots", "without a job's id; is the adapter right"),
        ("id_lines", "without a job's id; is the adapter right"),
        ("redirect_nowhere", "307: it sends calls on to an address that is none"),
    ],
)
def test_a_host_that_cannot_be_used_stops_the_stage(laptop, fault, says):
    adapter = "zhipu" if fault == "poor" else "plain"
    with serving_clips(faults=dict.fromkeys(PROMPTS, [fault])) as server, pytest.raises(DataError, match=says) as stop:
        made(laptop, server, adapter=adapter, n_frames=None)
    assert KEY not in stop.value.message and not server.jobs


def test_a_host_that_refuses_every_job_stops_the_stage(laptop):
    prompts = [f"prompt {number}" for number in range(30)]
    with serving_clips(faults=dict.fromkeys(prompts, ["bad_request"])) as server:
        with pytest.raises(DataError, match="took none of 10 jobs, the last: 400: size is not supported"):
            made(laptop, server, prompts)


def test_a_host_that_is_not_there_stops_the_stage(laptop):
    renderer = Http(params(laptop, "http://127.0.0.1:1", max_concurrency=5))
    with pytest.raises(DataError, match="10 calls in a row without an answer"):
        list(renderer.map(RenderRequest(prompt, 0) for prompt in PROMPTS))


def test_each_job_is_charged_when_it_is_bought(laptop):
    with serving_clips(faults={PROMPTS[1]: ["fails"], PROMPTS[2]: ["policy"]}) as server:
        made(laptop, server, usd_per_clip=0.25)
        assert Store().read_spent_usd(account(server.origin.removeprefix("http://"), "m")) == 5 * 0.25


def test_a_budget_is_never_exceeded_and_what_was_bought_is_kept(laptop):
    with serving_clips() as server:
        renderer = Http(params(laptop, server.base_url, usd_per_clip=0.25, budget_usd=1.1))
        outcomes = renderer.map(RenderRequest(prompt, 7) for prompt in PROMPTS)
        kept = [next(outcomes) for _ in range(4)]
        with pytest.raises(DataError, match=r"budget is spent: 1.0000 of 1.1 US dollars on m; clips so far are kept"):
            next(outcomes)
        assert all(outcome.value for outcome in kept) and len(server.jobs) == 4
        assert len(made(laptop, server, usd_per_clip=0.25, budget_usd=2)) == 6  # a later run, with more
        assert server.prompts() == PROMPTS


def test_a_run_without_patience_leaves_its_job_to_the_next(laptop):
    with serving_clips(looks=10**6) as server:
        (outcome,) = made(laptop, server, ["a dog"], timeout_s=0.05)
        assert outcome.reason == Reason.RENDER_FAILED and "the next run looks again" in outcome.detail
        server.looks = 0
        (outcome,) = made(laptop, server, ["a dog"])
        assert outcome.value and server.prompts() == ["a dog"]


def test_a_host_that_says_to_wait_for_years_is_not_waited_for():
    assert wait_s(Reply("transient", retry_after=1e9), 1) == PATIENCE_S
    assert wait_s(Reply("transient", retry_after=2.5), 1) == 2.5
    assert wait_s(Reply("transient"), 1) <= BACK_OFF_S


def test_a_job_that_failed_is_bought_anew_by_the_next_run(laptop):
    with serving_clips(faults={"a dog": ["fails"]}) as server:
        made(laptop, server, ["a dog"])
        server.faults = {}
        (outcome,) = made(laptop, server, ["a dog"])
        assert outcome.value and server.prompts() == ["a dog", "a dog"]


def test_a_wrong_clip_is_not_bought_again(laptop):
    with serving_clips(faults={"a dog": ["file_other"]}) as server:
        first, second = (made(laptop, server, ["a dog"])[0] for _ in range(2))
        assert first == second and first.reason == Reason.BAD_CLIP and server.prompts() == ["a dog"]


def test_a_job_that_the_host_has_forgotten_is_bought_anew_by_the_run_after_next(laptop):
    with serving_clips() as server:
        made(laptop, server, ["a dog"])
        server.jobs.clear()
        (outcome,) = made(laptop, server, ["a dog"])
        assert outcome.reason == Reason.RENDER_FAILED and "does not know it any more" in outcome.detail
        assert not server.jobs
        assert made(laptop, server, ["a dog"])[0].value


def test_equal_requests_side_by_side_are_bought_once(laptop):
    with serving_clips() as server:
        outcomes = made(laptop, server, ["a dog"] * 3, adapter="openai", n_frames=None)
        assert {outcome.value.content for outcome in outcomes} == {clip_of("a dog")}
        assert server.prompts() == ["a dog"]


RUN = """
import json, sys
from schemas.seams import RenderRequest
from pipeline.backends.renderer.http import Http
from tests.support.params import section_of
from tests.support.params import with_values
renderer = Http(section_of("render", **json.loads(sys.argv[1])))
made = renderer.map(RenderRequest(f"prompt {n}", 7) for n in range(6))
print(json.dumps([outcome.value.frames_hash for outcome in made]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 2, 4, 7, 9, 12, 15, 18, 21, 24])
def test_a_run_killed_at_any_call_buys_each_clip_once(laptop, root, at):
    """The call `at` is worked on by the host, and its answer never arrives."""
    running: list[subprocess.Popen] = []

    def step(n):
        if n == at:
            os.kill(running[0].pid, signal.SIGKILL)

    with serving_clips(step=step, looks=2) as server:
        settings = params(laptop, server.base_url, usd_per_clip=0.25).model_dump_json()
        command = [sys.executable, "-c", RUN, settings]
        environment = {**os.environ, "PYTHONPATH": str(root)}

        def run():
            running[:] = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)]
            return running[0].communicate()[0], running[0].returncode

        assert run()[1] == -signal.SIGKILL
        told, code = run()
        assert code == 0 and json.loads(told) == [frames_hash(decode(clip_of(prompt))) for prompt in PROMPTS]
        assert sorted(server.prompts()) == PROMPTS
        store = Store(Path(os.environ["VPO_HOME"]) / "store")
        spent = store.read_spent_usd(account(server.origin.removeprefix("http://"), "m"))
        assert spent == 6 * 0.25


def test_two_runs_with_the_same_prompts_buy_each_clip_once(laptop):
    outcomes = {}

    def run(name):
        outcomes[name] = made(laptop, server)

    with serving_clips() as server:
        runs = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
        for thread in runs:
            thread.start()
        for thread in runs:
            thread.join()
        assert sorted(server.prompts()) == sorted(PROMPTS)
        posts = [path for method, path, _ in server.log if method == "POST"]
        assert len(posts) == len(PROMPTS)
    assert [[outcome.value.content for outcome in outcomes[name]] for name in ("one", "two")] == [
        [clip_of(prompt) for prompt in PROMPTS]
    ] * 2


def test_a_file_that_is_always_shorter_than_its_length_is_given_up_soon_with_the_cause(laptop):
    begun = time.monotonic()
    outcome, server = one(laptop, "file_shorter", timeout_s=600)
    assert outcome.reason == Reason.RENDER_FAILED and "is done, its clip cannot be had" in outcome.detail
    assert "ClientPayloadError" in outcome.detail and len(server.jobs) == 1
    assert time.monotonic() - begun < 60


def test_a_reply_that_drips_holds_no_longer_than_the_time_for_a_job(laptop):
    begun = time.monotonic()
    outcome, _ = one(laptop, "look_drips", timeout_s=2)
    assert outcome.reason == Reason.RENDER_FAILED and "gave no clip in 2 s" in outcome.detail
    assert "the last trouble: " in outcome.detail and time.monotonic() - begun < 20


def test_a_gzip_bomb_is_refused_without_being_unpacked():
    import asyncio
    import tracemalloc
    import zlib
    from types import SimpleNamespace

    pack = zlib.compressobj(wbits=31)
    bomb = pack.compress(bytes(300 << 20)) + pack.flush()

    async def parts(size):
        yield bomb

    response = SimpleNamespace(headers={"Content-Encoding": "gzip"}, content=SimpleNamespace(iter_chunked=parts))
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 4194304 bytes"):
        asyncio.run(read_bounded(response, 4 << 20))
    assert tracemalloc.get_traced_memory()[1] < 30 << 20
    tracemalloc.stop()
