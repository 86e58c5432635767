import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.backends.weights import folder_revision
from pipeline.runtime.io import DataError
from train.checkpoints import hash_weights
from train.model_folder import NAMED, download, read_base, read_origin

ROOT = Path(__file__).resolve().parents[2]
REVISION = "a" * 40
LLAMA = "meta-llama/Meta-Llama-3-8B-Instruct"


def test_the_origin_travels_from_the_named_base_to_a_model_of_a_model(tmp_path):
    for name, contents in (
        (NAMED, {"name": LLAMA, "revision": "a" * 40}),
        ("model.json", {"origin": LLAMA, "base": "sft"}),
    ):
        (tmp_path / name).write_text(json.dumps(contents))
        assert read_origin(tmp_path) == LLAMA
        (tmp_path / name).unlink()
    assert read_origin(tmp_path) is None


def test_a_base_in_a_folder_is_named_without_the_path_to_it(tmp_path):
    base, own, other = (tmp_path / name for name in ("base", "own", "Meta-Llama-3-8B"))
    for folder in (base, own, other):
        folder.mkdir()
    (base / NAMED).write_text(json.dumps({"name": str(other), "revision": None}))
    assert read_origin(base) == "Meta-Llama-3-8B"
    (base / NAMED).write_text(json.dumps({"name": str(own), "revision": None}))
    (own / "model.json").write_text(json.dumps({"origin": LLAMA}))
    assert read_origin(base) == LLAMA


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
        code = f"from train.model_folder import download; download('meta-llama/gated', '{REVISION}')"
        endpoint = f"http://127.0.0.1:{server.server_port}"
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
        done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
        server.shutdown()
    last_line = done.stderr.strip().splitlines()[-1]
    assert "meta-llama/gated is gated: accept its licence" in last_line and "set HF_TOKEN" in last_line


def test_a_folder_without_a_model_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="no model in it"):
        read_base(tmp_path)


def test_a_folder_that_still_holds_a_card_is_the_same_model(tiny_model, tmp_path):
    older = shutil.copytree(tiny_model, tmp_path / "older")
    (older / "README.md").write_text("a card that training wrote")
    assert hash_weights(older) == hash_weights(tiny_model) and folder_revision(older) == folder_revision(tiny_model)
    assert read_base(older) == (str(older), None)
