"""How hosts of video generators are spoken to: for each, what is sent and how its replies are read; pure functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from pipeline.llm.calls.answers import read_error_message
from pipeline.runtime.io import DataError


@dataclass(frozen=True)
class Call:
    """A request: `path` follows base_url; a body makes it a POST."""

    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a host says of a job; `place` is where a finished clip lies: a URL, or a path that follows base_url.

    It is as the host gives it, and need be neither.
    """

    state: Literal["running", "done", "failed", "refused"]
    place: Any = ""
    why: str = ""


@dataclass(frozen=True)
class Adapter:
    """One host's manner.

    `sends` are the settings that it can be told. `submit(model, prompt, seed, settings, once)` makes the call that
    buys; `once` is an id of our own. `job_id` reads its reply, `look` asks for a job and `read(job id, reply)` reads
    what the host says. `filtered` tells a refusal of the content from other errors, `out_of_money` an empty account.
    `repeatable`: a call that came twice with one `once` makes one job.
    """

    sends: frozenset[str]
    submit: Callable[[str, str, int, dict, str], Call]
    job_id: Callable[[dict], Any]
    look: Callable[[str], Call]
    read: Callable[[str, dict], Job]
    filtered: Callable[[dict], bool]
    out_of_money: Callable[[dict], bool] = lambda body: False
    repeatable: bool = False
    most_characters: int | None = None


SHAPE = frozenset({"n_frames", "height", "width", "frames_per_second"})


def error_of(body: dict) -> dict:
    error = body.get("error")
    return error if isinstance(error, dict) else body


# plain: ours, for a server of one's own.
#   POST {base_url}/clips {"id", "model", "prompt", "seed", and of the settings those that are set} -> {"id"}
#       "id" is ours. Sent again it is the same job, unless that has failed: then it is a new one.
#   GET {base_url}/clips/{id} -> {"state": "running" | "done" | "failed" | "refused", "url": ..., "why": ...}
#   GET {base_url}/clips/{id}/content -> the mp4, where a job that is done tells no url
# An error is {"error": {"message", "code"}}; the code content_filter refuses the prompt.


def _plain_submit(model: str, prompt: str, seed: int, settings: dict, once: str) -> Call:
    return Call("/clips", {"id": once, "model": model, "prompt": prompt, "seed": seed, **settings})


def _plain_read(job_id: str, body: dict) -> Job:
    state = body.get("state")
    if state == "done":
        return Job("done", body.get("url") or f"/clips/{quote(job_id, safe='')}/content")
    return Job(state if state in ("failed", "refused") else "running", why=str(body.get("why") or ""))


PLAIN = Adapter(
    sends=SHAPE | {"negative_prompt", "num_inference_steps", "guidance_scale"},
    submit=_plain_submit,
    job_id=lambda body: body.get("id"),
    look=lambda job_id: Call(f"/clips/{quote(job_id, safe='')}"),
    read=_plain_read,
    filtered=lambda body: error_of(body).get("code") == "content_filter",
    repeatable=True,
)

# zhipu: CogVideoX as its authors host it (docs.z.ai/api-reference/video; open.bigmodel.cn/api/paas/v4). It takes no
# seed, so siblings do not share their noise, and answers a prompt of more than 512 characters with an error.


def _size(settings: dict) -> dict:
    return {"size": f"{settings['width']}x{settings['height']}"} if "width" in settings else {}


def seconds_of(settings: dict) -> int | None:
    """Return the whole seconds that n_frames and frames_per_second are, None where one of them is not set."""
    if not {"n_frames", "frames_per_second"} <= settings.keys():
        return None
    seconds = settings["n_frames"] / settings["frames_per_second"]
    if seconds != int(seconds):
        raise DataError(
            f"render.n_frames over render.frames_per_second is {seconds:g} seconds: this host makes whole seconds; "
            "set n_frames to null to take its own"
        )
    return int(seconds)


def _zhipu_submit(model: str, prompt: str, seed: int, settings: dict, once: str) -> Call:
    body = {"model": model, "prompt": prompt, "request_id": once, **_size(settings)}
    if "frames_per_second" in settings:
        body["fps"] = int(settings["frames_per_second"])
    if seconds := seconds_of(settings):
        body["duration"] = seconds
    return Call("/videos/generations", body)


def _zhipu_read(job_id: str, body: dict) -> Job:
    status = body.get("task_status")
    if status == "SUCCESS":
        results = body.get("video_result")
        first = results[0] if isinstance(results, list) and results and isinstance(results[0], dict) else {}
        return Job("done", first.get("url") or "") if first.get("url") else Job("failed", why="done, without a video")
    if status == "FAIL":
        return Job("refused" if _is_filtered_by_zhipu(body) else "failed", why=read_error_message(body))
    return Job("running")


def _is_filtered_by_zhipu(body: dict) -> bool:
    return str(error_of(body).get("code")) == "1301"  # unsafe or sensitive content


ZHIPU = Adapter(
    sends=SHAPE,
    submit=_zhipu_submit,
    job_id=lambda body: body.get("id"),
    look=lambda job_id: Call(f"/async-result/{quote(job_id, safe='')}"),
    read=_zhipu_read,
    filtered=_is_filtered_by_zhipu,
    out_of_money=lambda body: str(error_of(body).get("code")) == "1113",
    most_characters=512,
)

# openai: the videos API as in the openai package (types/video.py, video_create_params.py); it takes no seed.

POLICY = {"moderation_blocked", "content_policy_violation", "content_filter"}
NO_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


def _openai_submit(model: str, prompt: str, seed: int, settings: dict, once: str) -> Call:
    body = {"model": model, "prompt": prompt, **_size(settings)}
    if seconds := seconds_of(settings):
        body["seconds"] = str(seconds)
    return Call("/videos", body, {"Idempotency-Key": once})


def _openai_read(job_id: str, body: dict) -> Job:
    status = body.get("status")
    if status == "completed":
        return Job("done", f"/videos/{quote(job_id, safe='')}/content")
    if status == "failed":
        return Job("refused" if _is_filtered_by_openai(body) else "failed", why=read_error_message(body))
    return Job("running")


def _is_filtered_by_openai(body: dict) -> bool:
    error = error_of(body)
    return bool({str(error.get("code")), str(error.get("type"))} & POLICY)


OPENAI = Adapter(
    sends=SHAPE,
    submit=_openai_submit,
    job_id=lambda body: body.get("id"),
    look=lambda job_id: Call(f"/videos/{quote(job_id, safe='')}"),
    read=_openai_read,
    filtered=_is_filtered_by_openai,
    out_of_money=lambda body: bool({str(error_of(body).get("code")), str(error_of(body).get("type"))} & NO_QUOTA),
)

ADAPTERS = {"plain": PLAIN, "zhipu": ZHIPU, "openai": OPENAI}
