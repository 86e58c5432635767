"""The Batch API of the loopback server: files in, batches that end after some polls, files out."""

import hashlib
import json
import random
import re
import time

from tests.support.llm_faults import comes, completion, failure, fault_by

ROUTE = re.compile(r"/(files|batches)(?:/([^/]+))?(?:/(content|cancel))?$")
COUNTS = {"total": 0, "completed": 0, "failed": 0}


class Batches:
    """Files and batches by id.

    A batch is `finalizing` at poll `polls` - 1 and at its end at poll `polls`; a share of its lines may expire.
    """

    def __init__(self, server, polls: int, expire_share: float):
        self.server, self.polls, self.expire_share = server, polls, expire_share
        self.files: dict[str, bytes] = {}
        self.n_files = 0
        self.about: dict[str, dict] = {}
        self.batches: dict[str, dict] = {}
        self.polled: dict[str, int] = {}

    async def handle(self, request):
        from aiohttp import web

        found = ROUTE.search(request.path)
        kind, name, verb = found.groups() if found else (None, None, None)
        if request.method == "POST" and kind == "files" and not name:
            form = await request.clone(client_max_size=2**30).post()
            with form["file"].file as file:
                return web.json_response(self.put(file.read(), form["file"].filename, form["purpose"]))
        if request.method == "POST" and kind == "batches" and not name:
            return web.json_response(self.create(await request.json()))
        if request.method == "GET" and kind == "batches" and not name:
            return web.json_response(self.listed(request.query))
        if request.method == "GET" and kind == "files" and not name:
            files = [about for about in self.about.values() if about["purpose"] == request.query.get("purpose")]
            return web.json_response({"object": "list", "data": files, "has_more": False})
        if name in self.batches:
            return web.json_response(self.cancel(name) if verb == "cancel" else self.poll(name))
        if name in self.files:
            if verb == "content":
                return web.Response(body=self.files[name], content_type="application/jsonl")
            if request.method == "DELETE":
                del self.files[name], self.about[name]
                return web.json_response({"id": name, "object": "file", "deleted": True})
            return web.json_response(self.about[name])
        return web.json_response({"error": {"message": f"nothing at {request.path}"}}, status=404)

    def put(self, content: bytes, filename: str, purpose: str) -> dict:
        self.n_files += 1
        name = f"file-{self.n_files}"
        self.files[name] = content
        self.about[name] = {
            "id": name, "object": "file", "bytes": len(content), "created_at": int(time.time()), "filename": filename,
            "purpose": purpose, "status": "processed",
        }  # fmt: skip
        return self.about[name]

    def create(self, asked: dict) -> dict:
        name = f"batch_{len(self.batches)}"
        self.polled[name] = 0
        self.batches[name] = {
            "id": name, "object": "batch", "endpoint": asked["endpoint"], "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"], "created_at": int(time.time()), "status": "validating",
            "metadata": asked.get("metadata"), "errors": None, "output_file_id": None, "error_file_id": None,
            "request_counts": COUNTS,
        }  # fmt: skip
        return self.batches[name]

    def listed(self, query) -> dict:
        newest = list(self.batches)[::-1]
        start = newest.index(query["after"]) + 1 if "after" in query else 0
        page = newest[start : start + int(query.get("limit", 20))]
        more = start + len(page) < len(newest)
        ends = {"first_id": page[0], "last_id": page[-1]} if page else {}
        return {"object": "list", "data": [self.batches[name] for name in page], "has_more": more, **ends}

    def cancel(self, name: str) -> dict:
        if self.batches[name]["status"] in ("validating", "in_progress", "finalizing"):
            self.batches[name]["status"] = "cancelling"
        return self.batches[name]

    def poll(self, name: str) -> dict:
        batch = self.batches[name]
        if batch["status"] in ("failed", "completed", "expired", "cancelled"):
            return batch
        self.polled[name] += 1
        lines, faults = read_lines(self.files.get(batch["input_file_id"], b""), batch["endpoint"])
        if faults:
            batch |= {"status": "failed", "errors": {"object": "list", "data": faults}}
        elif batch["status"] == "cancelling":
            self.finish(batch, lines[: len(lines) // 2], [])
            batch["status"] = "cancelled"  # what was not done is in neither file
        elif self.polled[name] >= self.polls:
            done = len(lines) - round(len(lines) * self.expire_share)
            self.finish(batch, lines[:done], lines[done:])
            batch["status"] = "expired" if done < len(lines) else "completed"
        else:
            batch["status"] = "finalizing" if self.polled[name] == self.polls - 1 else "in_progress"
            batch["request_counts"] = COUNTS | {"total": len(lines)}
        return batch

    def finish(self, batch: dict, done: list[dict], expired: list[dict]) -> None:
        """Answer `done`, and write the output and the error file, each in an order of its own."""
        rows = [self.line(asked) for asked in done]
        late = {"code": "batch_expired", "message": "This request could not be executed before the window expired."}
        rows += [row(asked, None, late) for asked in expired]
        random.Random(self.server.seed).shuffle(rows)
        good = [item for item in rows if item["response"] and item["response"]["status_code"] == 200]
        bad = [item for item in rows if item not in good]
        for field, items in (("output_file_id", good), ("error_file_id", bad)):
            if items:
                content = "".join(f"{json.dumps(item)}\n" for item in items).encode()
                batch[field] = self.put(content, f"{batch['id']}_{field}.jsonl", "batch_output")["id"]
        batch["request_counts"] = {"total": len(rows), "completed": len(good), "failed": len(bad)}

    def line(self, asked: dict) -> dict:
        """Return the line for one request; a transient fault of the conversation is a line without a response."""
        server, body = self.server, asked["body"]
        digest = hashlib.sha256(f"{server.seed}/{json.dumps(body['messages'])}".encode()).digest()
        fault = fault_by(digest, server.fault_share, server.faults)
        if fault and not comes(fault, digest, server.seen[digest.hex()[:16]]):
            fault = None
        server.seen[digest.hex()[:16]] += 1
        entry = (time.monotonic(), digest.hex()[:16], f"batch_{fault or 'ok'}")
        failed = failure(fault)
        if failed and failed[0] == 400:
            server.log.append((*entry, 0, 0, 0.0))
            return row(asked, {"status_code": 400, "request_id": "x", "body": json.loads(failed[1])}, None)
        if fault and not is_answer(fault):
            server.log.append((*entry, 0, 0, 0.0))
            return row(asked, None, {"code": "server_error", "message": f"the request met {fault}"})
        texts, usage = server.answered(body)
        server.log.append((*entry, usage["prompt_tokens"], usage["completion_tokens"], 0.0))
        answer = json.loads(completion(fault, body["model"], texts, usage))
        return row(asked, {"status_code": 200, "request_id": "x", "body": answer}, None)


def is_answer(fault: str) -> bool:
    return fault in ("empty", "length", "refusal", "refusal_text", "two_choices", "no_choices")


def row(asked: dict, response: dict | None, error: dict | None) -> dict:
    return {"id": f"batch_req_{asked['custom_id']}", "custom_id": asked["custom_id"], "response": response,
            "error": error}  # fmt: skip


def read_lines(content: bytes, endpoint: str) -> tuple[list[dict], list[dict]]:
    """Return the requests of an input file, and what is wrong with it as the `errors.data` of a batch."""
    lines, faults, names, models = [], [], set(), set()

    def fault(code: str, message: str, number: int | None) -> None:
        faults.append({"code": code, "message": message, "line": number, "param": None})

    for number, text in enumerate(content.decode().splitlines(), 1):
        try:
            asked = json.loads(text)
        except ValueError:
            fault("invalid_json_line", "This line is not parseable as valid JSON.", number)
            continue
        if asked["custom_id"] in names:
            fault("duplicate_custom_id", f"The custom_id {asked['custom_id']} is used twice.", number)
        if asked["url"] != endpoint or asked["method"] != "POST":
            fault("invalid_url", "The URL of this line is not the batch's endpoint.", number)
        names.add(asked["custom_id"])
        models.add(asked["body"]["model"])
        lines.append(asked)
    if len(models) > 1:
        fault("mismatched_model", "All requests of a batch must be for one model.", None)
    if not lines and not faults:
        fault("empty_file", "The input file is empty.", None)
    return lines, faults
