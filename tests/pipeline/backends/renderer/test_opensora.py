import json
import os
import sys

import pytest

from pipeline.backends.renderer.command import Command
from pipeline.runtime.store import home
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


OPEN_SORA = {
    "torch.py": "seeds = []\nmanual_seed = seeds.append\n",
    "opensora/utils/inference_utils.py": "def get_save_path_name(*_, **__): raise SystemExit('not replaced')\n",
    "scripts/inference.py": """
import argparse, torch
from opensora.utils.inference_utils import get_save_path_name
from tests.support.clip_server import clip_of
parser = argparse.ArgumentParser()
parser.add_argument("config")
for name in ("--prompt-path", "--save-dir", "--batch-size", "--llm-refine", "--num-frames", "--fps", "--flow"):
    parser.add_argument(name)
parser.add_argument("--image-size", nargs=2)
words = parser.parse_args()
assert (words.config, words.batch_size, words.llm_refine) == ("configs/opensora-v1-2/inference/sample.py", "1", "False")
assert (words.image_size, words.fps, words.flow) == (["32", "48"], "8", "5"), words
import os
from tests.support.params import with_values
os.makedirs(words.save_dir)
for at, prompt in enumerate(open(words.prompt_path).read().splitlines()):
    path = get_save_path_name(words.save_dir, sample_name=None, sample_idx=0 + at, prompt=prompt, num_sample=1, k=0)
    open(path + ".mp4", "wb").write(clip_of(f"{prompt} {torch.seeds[-1]}", n=int(words.num_frames)))
""",
}


def test_open_sora_is_given_prompts_settings_and_a_seed_for_each_clip(laptop, program, root, tmp_path):
    for name, text in OPEN_SORA.items():
        (tmp_path / "sora" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sora" / name).write_text(text)
    script = root / "pipeline/backends/renderer/opensora.py"
    words = [sys.executable, str(script), str(tmp_path / "sora"), "{manifest}", "{clips}", "--flow", "5"]
    requests = [RenderRequest("a dog\n{in} a house", 7), RenderRequest("|0| a cat", 8)]
    one, two = Command(params(laptop, words)).map(requests)
    assert (one.value, two.value) and one.value.content == clip_of("a dog (in) a house 7")
    assert two.value.content == clip_of("0| a cat 8")
    assert not list(home().glob("command/*/.opensora-*"))
