"""A program that makes clips for the backend `command` and misbehaves when a prompt's words say so."""

import json
import sys
from pathlib import Path

from pipeline.backends.renderer.command import Command
from schemas.params_render import RenderParams
from schemas.seams import RenderRequest
from tests.support.params import with_values

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


class Program:
    """The program as a file in `folder`; called, it returns the prompts it was asked for, call by call."""

    def __init__(self, folder: Path):
        (folder / "program.py").write_text(PROGRAM)
        self.log = folder / "calls.jsonl"
        self.words = [sys.executable, str(folder / "program.py"), "{manifest}", "{clips}", str(self.log)]

    def __call__(self) -> list[list[str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [[line["prompt"] for line in json.loads(call)] for call in lines]


def params(laptop, words, **values) -> RenderParams:
    base = dict(
        backend="command", model="m", revision="r", command=words, n_frames=4, height=32, width=48,
        frames_per_second=8,
    )  # fmt: skip
    return with_values(laptop.render, **{**base, **values})


def made(laptop, program, prompts, **values):
    renderer = Command(params(laptop, program.words, **values))
    return list(renderer.map(RenderRequest(prompt, 7) for prompt in prompts))
