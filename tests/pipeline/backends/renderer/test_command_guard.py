import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.backends.renderer.command import Command
from schemas.params_render import RenderParams
from schemas.seams import RenderRequest
from tests.support.clip_server import clip_of
from tests.support.params import with_values

pytestmark = pytest.mark.slow


PROGRAM = """
import json, os, shutil, sys, time
from pathlib import Path
from tests.support.clip_server import clip_of
manifest, clips, log = (Path(word) for word in sys.argv[1:4])
lines = [json.loads(line) for line in manifest.read_text().splitlines()]
with log.open("a") as file: file.write(json.dumps(lines) + "\\n")
for line in lines:
    words, path = line["prompt"].split(), clips / (line["video_id"] + ".mp4")
    if "dies" in words: print("loading"); sys.exit("CUDA out of memory\\n")
    if "lost" in words: continue
    if "strange" in words: (clips / "notes.txt").write_text("hm")
    content = clip_of(line["prompt"], n=3 if "short" in words else 4)
    if "picture" in words: content = b"<html>"
    if "hangs" in words and not (log.parent / "again").exists():
        path.write_bytes(content[:1500])
        (log.parent / "hangs").write_text(str(os.getpid()))
        time.sleep(600)
    if "link" in words:
        (log.parent / "private").write_text("my diary\\n")
        path.symlink_to(log.parent / "private"); continue
    if "folder" in words: path.mkdir(); continue
    if "pipe" in words: os.mkfifo(path); continue
    if "away" in words: shutil.rmtree(clips)
    if "elsewhere" in words:
        shutil.rmtree(clips); (log.parent / "elsewhere").mkdir(); clips.symlink_to(log.parent / "elsewhere")
    if "all" in words: shutil.rmtree(clips.parent)
    if "silent" in words: (clips.parent / "said.log").unlink(); print("\\x1b[31mred"); sys.exit(3)
    path.write_bytes(content)
"""


@pytest.fixture
def program(tmp_path, vpo_home, root, monkeypatch):
    """A program that makes clips, and what it was asked for, call by call."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "tests")]))
    (tmp_path / "program.py").write_text(PROGRAM)
    log = tmp_path / "calls.jsonl"

    def asked():
        lines = log.read_text().splitlines() if log.exists() else []
        return [[line["prompt"] for line in json.loads(call)] for call in lines]

    asked.words = [sys.executable, str(tmp_path / "program.py"), "{manifest}", "{clips}", str(log)]
    asked.log = log
    return asked


def params(laptop, words, **values) -> RenderParams:
    base = dict(
        backend="command", model="m", revision="r", command=words, n_frames=4, height=32, width=48,
        frames_per_second=8,
    )  # fmt: skip
    return with_values(laptop.render, **{**base, **values})


def made(laptop, program, prompts, **values):
    renderer = Command(params(laptop, program.words, **values))
    return list(renderer.map(RenderRequest(prompt, 7) for prompt in prompts))


RUN = """
import json, sys
from schemas.seams import RenderRequest
from pipeline.backends.renderer.command import Command
from tests.support.params import section_of
renderer = Command(section_of("render", **json.loads(sys.argv[1])))
list(renderer.map(RenderRequest(prompt, 7) for prompt in json.loads(sys.argv[2])))
"""


def until(true):
    while not true():
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:
        return file.read().split()[2] == "Z"


def test_a_run_killed_in_the_midst_takes_its_program_with_it_and_makes_no_finished_clip_again(
    laptop, program, tmp_path
):
    prompts = ["a dog", "a cat", "hangs", "an owl"]
    command = [sys.executable, "-c", RUN, params(laptop, program.words).model_dump_json(), json.dumps(prompts)]
    stage = subprocess.Popen(command)
    until(lambda: (tmp_path / "hangs").exists() and (tmp_path / "hangs").read_text())
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    pid = int((tmp_path / "hangs").read_text())
    until(lambda: gone(pid))
    (tmp_path / "again").touch()
    outcomes = made(laptop, program, prompts)
    assert [outcome.value.content for outcome in outcomes] == [clip_of(prompt) for prompt in prompts]
    assert program() == [prompts, ["hangs", "an owl"]]
