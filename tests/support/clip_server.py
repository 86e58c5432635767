"""A host of video generators on loopback: speaks all three adapters' protocols, with faults by prompt.

`faults` maps a prompt to names of faults. Those of ONCE come at the first call that they concern, the others at each.
"""

import asyncio
import gzip
import json

import numpy as np

from pipeline.video.clips import encode
from tests.support.in_thread import in_thread

ONCE = {"429", "500", "lost", "html", "huge", "deep", "bomb", "look_500", "look_lost", "file_500", "file_short"}
KEY = "key-of-the-host"


def clip_of(prompt: str, n=4, height=32, width=48) -> bytes:
    """Return the mp4 that the host makes of a prompt."""
    picture = np.random.default_rng(len(prompt) * 1000 + sum(prompt.encode())).integers(0, 255, (4, 6, 3), np.uint8)
    picture = picture.repeat(height // 4, axis=0).repeat(width // 6, axis=1)
    return encode(np.stack([np.roll(picture, at, axis=1) for at in range(n)]), 8)


class ClipServer:
    """`looks` are answered with "running" before a job is done. `log` has (method, path, Authorization).

    `step(n)` is called in the handler of call n, when its work is done and before it is answered. `elsewhere` is where
    files lie for the fault of that name.
    """

    def __init__(self, faults=None, looks=1, step=None, elsewhere=""):
        self.faults = {prompt: list(names) for prompt, names in (faults or {}).items()}
        self.looks, self.step, self.elsewhere = looks, step, elsewhere
        self.jobs: dict[str, dict] = {}
        self.bodies, self.log = [], []
        self.running = self.most_running = 0

    def prompts(self) -> list[str]:
        """Return the prompt of each job that was made, in order."""
        return [job["prompt"] for job in self.jobs.values()]

    def comes(self, prompt: str, fault: str) -> bool:
        if fault not in self.faults.get(prompt, ()):
            return False
        if fault in ONCE:
            self.faults[prompt].remove(fault)
        return True

    async def handle(self, request):
        from aiohttp import web

        self.log.append((request.method, request.path, request.headers.get("Authorization")))
        body = await request.read()
        answer = self.respond(request, body)
        if self.step:
            self.step(len(self.log))
        if answer == "lost":
            request.transport.abort()
            return web.Response()
        status, content, headers = (*answer, {})[:3]
        if headers.pop("slowly", None):
            response = web.StreamResponse(status=status, headers={"Content-Length": str(len(content))})
            await response.prepare(request)
            for at in range(100):
                await response.write(content[at : at + 1])
                await asyncio.sleep(0.02 if request.path.startswith("/files/") else 0.5)
            await response.write(content[100:])
            return response
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        if headers.pop("long", None):
            response = web.StreamResponse(status=status, headers={"Content-Length": str(len(content) - 100)})
            await response.prepare(request)
            await response.write(content)
            return response
        if headers.pop("short", None):
            response = web.StreamResponse(status=status, headers={"Content-Length": str(len(content) + 100)})
            await response.prepare(request)
            await response.write(content)
            request.transport.close()
            return response
        return web.Response(status=status, body=content, headers=headers)

    def respond(self, request, body):
        parts = request.path.removeprefix("/v1").strip("/").split("/")
        if request.path.startswith("/files/"):
            return self.file(parts[1])
        if request.method == "POST":
            return self.submit(request, json.loads(body))
        if parts[0] == "async-result" or len(parts) == 2:
            return self.look(parts[0], parts[1])
        return self.file(parts[1])

    def submit(self, request, body):
        prompt = body["prompt"]
        self.bodies.append(body)
        if self.comes(prompt, "429"):
            return 429, {"error": {"message": "slow down"}}, {"Retry-After": "0"}
        if self.comes(prompt, "500"):
            return 500, {"error": {"message": "oh"}}
        if self.comes(prompt, "html"):
            return 200, b"<html>welcome</html>"
        if self.comes(prompt, "huge"):
            return 200, b'{"id": "x"}' + b" " * (5 << 20)
        if self.comes(prompt, "deep"):
            return 200, b"[" * 200_000
        if self.comes(prompt, "bomb"):
            return 200, gzip.compress(b'{"id": "x"}' + b" " * (64 << 20)), {"Content-Encoding": "gzip"}
        if self.comes(prompt, "bad_request"):
            return 400, {"error": {"message": "size is not supported", "code": "invalid_value"}}
        if self.comes(prompt, "policy"):
            code = {"/v1/clips": "content_filter", "/v1/videos": "moderation_blocked"}.get(request.path, "1301")
            return 400, {"error": {"message": "not that", "code": code}}
        if self.comes(prompt, "unauthorized"):
            return 401, {"error": {"message": f"bad key {request.headers.get('Authorization')}"}}
        if self.comes(prompt, "poor"):
            code = "1113" if "generations" in request.path else "insufficient_quota"
            return 429, {"error": {"message": "no money", "code": code}}
        if self.comes(prompt, "redirect"):
            return 307, b"", {"Location": f"{self.elsewhere}/v1/clips"}
        if self.comes(prompt, "redirect_nowhere"):
            return 307, b"", {"Location": "http://["}
        if self.comes(prompt, "no_id"):
            return 200, {"ok": True}
        for fault, job_id in (("id_half", "\ud800"), ("id_dots", ".."), ("id_lines", "a\nb")):
            if self.comes(prompt, fault):
                return 200, {"id": job_id}
        once = body.get("id")
        known = [name for name, job in self.jobs.items() if once and job["once"] == once and not job["failed"]]
        job_id = known[0] if known else f"job-{len(self.jobs)}"
        if not known:
            self.jobs[job_id] = {"prompt": prompt, "once": once, "looks": 0, "failed": False, "done": False}
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        if self.comes(prompt, "lost"):
            return "lost"
        return 200, {"id": job_id, "task_status": "PROCESSING", "status": "queued"}

    def look(self, kind, job_id):
        job = self.jobs.get(job_id)
        if job is None:
            return 404, {"error": {"message": "no such job"}}
        prompt = job["prompt"]
        if self.comes(prompt, "look_500"):
            return 500, b"<html>502</html>"
        if self.comes(prompt, "look_drips"):
            return 200, b"{" + b" " * 10_000, {"slowly": True}
        if self.comes(prompt, "look_lost"):
            return "lost"
        job["looks"] += 1
        state, why, url = "done", "", None
        if job["looks"] <= self.looks or self.comes(prompt, "never"):
            state = "running"
        elif self.comes(prompt, "fails"):
            state, why, job["failed"] = "failed", f"CUDA error {KEY}", True
        elif self.comes(prompt, "refuses"):
            state, why = "refused", "not that"
        elif self.comes(prompt, "elsewhere"):
            url = f"{self.elsewhere}/files/{job_id}"
        elif self.comes(prompt, "local_file"):
            url = "file:///etc/hostname"
        elif self.comes(prompt, "url_number"):
            url = 7
        elif self.comes(prompt, "url_none"):
            url = "http://["
        if state != "running" and not job["done"]:
            job["done"], self.running = True, self.running - 1
        if kind == "clips":
            return 200, {"state": state, "why": why, **({"url": url} if url else {})}
        code = "1301" if kind == "async-result" else "moderation_blocked"
        error = {"error": {"message": why, "code": code if state == "refused" else "server_error"}} if why else {}
        if kind == "async-result":
            status = {"running": "PROCESSING", "done": "SUCCESS"}.get(state, "FAIL")
            result = {"video_result": [{"url": url or f"{self.origin}/files/{job_id}"}]} if state == "done" else {}
            return 200, {"task_status": status, **result, **error}
        status = {"running": "in_progress", "done": "completed"}.get(state, "failed")
        return 200, {"id": job_id, "status": status, **error}

    def file(self, job_id):
        prompt = self.jobs[job_id]["prompt"] if job_id in self.jobs else ""
        if self.comes(prompt, "file_500"):
            return 503, b"busy"
        if self.comes(prompt, "file_gone"):
            return 404, b"expired"
        if self.comes(prompt, "file_redirect"):
            return 302, b"", {"Location": f"{self.elsewhere}/files/{job_id}"}
        if self.comes(prompt, "file_circle"):
            return 302, b"", {"Location": f"/files/{job_id}"}
        if self.comes(prompt, "file_local"):
            return 302, b"", {"Location": "file:///etc/hostname"}
        if self.comes(prompt, "file_long"):
            return 200, clip_of(prompt), {"long": True}
        if self.comes(prompt, "file_short"):
            return 200, clip_of(prompt)[:1000], {"short": True}
        if self.comes(prompt, "file_shorter"):
            return 200, clip_of(prompt)[:1000], {"short": True}
        if self.comes(prompt, "file_slow"):
            return 200, clip_of(prompt), {"slowly": True}
        if self.comes(prompt, "file_html"):
            return 200, b"<html>log in</html>"
        if self.comes(prompt, "file_other"):
            return 200, clip_of(prompt, n=3)
        if self.comes(prompt, "file_huge"):
            return 200, b"", {"Content-Length": str(1 << 40)}
        return 200, clip_of(prompt)

    async def start(self):
        from aiohttp import web

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.base_url = f"{self.origin}/v1"
        return runner


def serving_clips(**settings):
    """Give a ClipServer in a thread, with base_url, jobs, bodies and log."""
    return in_thread(ClipServer(**settings))
