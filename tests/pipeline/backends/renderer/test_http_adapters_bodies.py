"""What each host is sent and how its words are read, without a server."""

import pytest

from pipeline.backends.renderer.http_adapters import ADAPTERS, Call, Job, seconds_of
from pipeline.runtime.io import DataError

SETTINGS = {"n_frames": 32, "height": 32, "width": 48, "frames_per_second": 8.0}


@pytest.mark.parametrize(
    ("adapter", "body", "job"),
    [
        ("plain", {"state": "done", "url": "/files/a"}, Job("done", "/files/a")),
        ("plain", {"state": "done"}, Job("done", "/clips/a%2Fb/content")),
        ("plain", {"state": "failed", "why": "no room"}, Job("failed", why="no room")),
        ("plain", {"state": "refused"}, Job("refused")),
        ("plain", {"state": "queued"}, Job("running")),
        ("zhipu", {"task_status": "SUCCESS", "video_result": [{"url": "u"}]}, Job("done", "u")),
        ("zhipu", {"task_status": "SUCCESS", "video_result": []}, Job("failed", why="done, without a video")),
        ("zhipu", {"task_status": "PROCESSING"}, Job("running")),
        ("openai", {"status": "completed"}, Job("done", "/videos/a%2Fb/content")),
        ("openai", {"status": "in_progress"}, Job("running")),
    ],
)
def test_a_jobs_state_is_read_from_its_hosts_words(adapter, body, job):
    assert ADAPTERS[adapter].read("a/b", body) == job


@pytest.mark.parametrize(
    ("adapter", "failed", "code", "state"),
    [
        ("zhipu", {"task_status": "FAIL"}, "1301", "refused"),
        ("zhipu", {"task_status": "FAIL"}, "1300", "failed"),
        ("openai", {"status": "failed"}, "moderation_blocked", "refused"),
        ("openai", {"status": "failed"}, "server_error", "failed"),
    ],
)
def test_a_failure_that_is_a_refusal_of_the_content_is_told_apart(adapter, failed, code, state):
    body = failed | {"error": {"code": code, "message": "so"}}
    assert ADAPTERS[adapter].read("a", body) == Job(state, why=ADAPTERS[adapter].read("a", body).why)
    assert "so" in ADAPTERS[adapter].read("a", body).why
    assert ADAPTERS[adapter].filtered(body) == (state == "refused")


def test_each_host_is_sent_what_it_takes():
    calls = {name: adapter.submit("m", "a dog", 7, SETTINGS, "once") for name, adapter in ADAPTERS.items()}
    assert calls == {
        "plain": Call("/clips", {"id": "once", "model": "m", "prompt": "a dog", "seed": 7, **SETTINGS}),
        "zhipu": Call("/videos/generations", {
            "model": "m", "prompt": "a dog", "request_id": "once", "size": "48x32", "fps": 8, "duration": 4,
        }),
        "openai": Call("/videos", {"model": "m", "prompt": "a dog", "size": "48x32", "seconds": "4"},
                       {"Idempotency-Key": "once"}),
    }  # fmt: skip
    looks = {name: adapter.look("a/b").path for name, adapter in ADAPTERS.items()}
    assert looks == {"plain": "/clips/a%2Fb", "zhipu": "/async-result/a%2Fb", "openai": "/videos/a%2Fb"}
    assert all(adapter.job_id({"id": "j"}) == "j" for adapter in ADAPTERS.values())


def test_what_differs_between_hosts_is_told_of_each():
    about = {name: (adapter.repeatable, adapter.most_characters, "guidance_scale" in adapter.sends)
             for name, adapter in ADAPTERS.items()}  # fmt: skip
    assert about == {"plain": (True, None, True), "zhipu": (False, 512, False), "openai": (False, None, False)}
    empty = {"plain": {}, "zhipu": {"error": {"code": "1113"}}, "openai": {"error": {"type": "insufficient_quota"}}}
    assert {name: ADAPTERS[name].out_of_money(body) for name, body in empty.items()} == {
        "plain": False, "zhipu": True, "openai": True,
    }  # fmt: skip


def test_frames_over_rate_are_whole_seconds_or_none():
    assert (seconds_of(SETTINGS), seconds_of({"n_frames": 32})) == (4, None)
    with pytest.raises(DataError, match="is 4.125 seconds: this host makes whole seconds"):
        seconds_of(SETTINGS | {"n_frames": 33})
