import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.runtime.io import DataError
from pipeline.runtime.named_model import NAMED, download, locate_model, read_name

ROOT = Path(__file__).resolve().parents[3]
REVISION = "a" * 40


def test_a_folder_names_another_model_or_holds_its_own(tmp_path):
    assert read_name(tmp_path) is None and locate_model(tmp_path) == str(tmp_path)
    (tmp_path / NAMED).write_text(json.dumps({"name": "/models/llama", "revision": None}))
    assert read_name(tmp_path) == ("/models/llama", None) and locate_model(tmp_path) == "/models/llama"
    (tmp_path / NAMED).write_text(json.dumps({"name": "nobody/nothing", "revision": REVISION}))
    with pytest.raises(DataError, match="nobody/nothing at aaaa"):
        locate_model(tmp_path)


def test_a_hub_model_that_cannot_be_had_is_one_clear_error():
    with pytest.raises(DataError, match="nobody/nothing at aaaa.* the Hub gave no model"):
        download("nobody/nothing", REVISION)


@pytest.mark.slow
def test_a_gated_model_without_a_token_is_one_line_that_says_what_to_do():
    class Gated(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gated) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = f"from pipeline.runtime.named_model import download; download('meta-llama/gated', '{REVISION}')"
        endpoint = f"http://127.0.0.1:{server.server_port}"
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
        done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
        server.shutdown()
    last_line = done.stderr.strip().splitlines()[-1]
    assert "meta-llama/gated is gated: accept its licence" in last_line and "set HF_TOKEN" in last_line
