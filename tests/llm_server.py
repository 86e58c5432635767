"""An OpenAI-compatible server on loopback: it answers through a function, with faults by seed."""

import contextlib
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("500", "502", "429", "reset", "cut", "empty", "length", "refusal", "content_filter", "no_choices")
LASTING = {"empty", "length", "refusal", "content_filter"}
"""faults that are the model's answer to this conversation, so that they come again"""


@contextlib.contextmanager
def serving(answer, fault_share=0.0, seed=0, delay_s=0.0):
    """Serve `answer(model, messages) -> text`; yield an object with base_url, requests (bodies) and headers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(answer, fault_share, seed, delay_s))
    server.daemon_threads = True
    server.requests, server.headers, server.lock = [], [], threading.Lock()
    server.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fault_of(text: str, share: float, seed: int) -> str | None:
    """Return the fault that this conversation meets, the same every time."""
    digest = hashlib.sha256(f"{seed}/{text}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    return FAULTS[digest[8] % len(FAULTS)] if draw < share else None


def handler(answer, fault_share, seed, delay_s):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = json.dumps(body["messages"])
            with self.server.lock:
                seen = sum(json.dumps(other["messages"]) == text for other in self.server.requests)
                self.server.requests.append(body)
                self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
            time.sleep(delay_s)
            fault = fault_of(text, fault_share, seed)
            if fault not in LASTING and seen:
                fault = None
            getattr(self, f"send_{fault}", self.send_answer)(body)

        def send_answer(self, body, text=None, finish_reason="stop", refusal=None):
            text = answer(body["model"], body["messages"]) if text is None else text
            self.reply(200, {
                "id": "x", "object": "chat.completion", "created": 0, "model": body["model"] + "-snapshot",
                "choices": [{"index": 0, "finish_reason": finish_reason,
                             "message": {"role": "assistant", "content": text, "refusal": refusal}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            })  # fmt: skip

        def send_500(self, body):
            self.reply(500, {"error": {"message": "boom"}})

        def send_502(self, body):
            self.raw(502, b"<html>Bad Gateway</html>", "text/html")

        def send_429(self, body):
            self.reply(429, {"error": {"message": "slow down"}}, {"retry-after-ms": "10"})

        def send_reset(self, body):
            self.close_connection = True
            self.connection.close()

        def send_cut(self, body):
            self.raw(200, b'{"id": "x", "choices": [{"mess', "application/json")

        def send_empty(self, body):
            self.send_answer(body, text="")

        def send_length(self, body):
            self.send_answer(body, text="[[start]] a dog", finish_reason="length")

        def send_refusal(self, body):
            self.send_answer(body, text="", refusal="I can not help with that.")

        def send_content_filter(self, body):
            self.reply(400, {"error": {"message": "blocked by policy", "code": "content_filter"}})

        def send_no_choices(self, body):
            self.reply(200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": []})

        def reply(self, status, value, headers=()):
            self.raw(status, json.dumps(value).encode(), "application/json", headers)

        def raw(self, status, payload, kind, headers=()):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(payload)))
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

    return Handler
